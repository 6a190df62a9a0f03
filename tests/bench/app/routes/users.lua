return {
  ["GET /{id}"] = function(req) return { id = req.params.id, name = "user" } end,
}
