return {
  -- Two cooks, and a queue of twenty orders. The grill is a pool of its own, so that slow orders never take the
  -- threads of other blocking routes.
  workers = { pools = { grill = { size = 2, queue = 20, max_wait = 10 } } },
}
