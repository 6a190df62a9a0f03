return {
  openapi = {
    title = "Todo",
    version = "1.0.0",
    description = "What is to be done. Everybody may read; who changes something needs a key.",
    tags = { todos = "Things to do" },
  },
}
