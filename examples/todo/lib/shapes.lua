-- What a todo is: the one place that says it. Routes check and write by these, and /openapi.json shows them.
local S = require("tidegate").schema

local M = {}

M.Priority = S.enum({ "low", "normal", "high" })

local Tags = S.array(S.str({ min_len = 1, max_len = 20 }), { max_len = 10 })

M.Todo = S.obj({
  { "id", S.int({ min = 1, desc = "Given by the server; never given again." }) },
  { "title", S.str({ min_len = 1, max_len = 100, example = "Mend the sluice" }) },
  { "done", S.bool },
  { "priority", M.Priority },
  { "due", S.date({ optional = true, example = "2026-12-01" }) },
  { "tags", Tags },
}, { name = "Todo" })

-- A misspelt field of what is sent is refused rather than forgotten.
M.NewTodo = M.Todo:omit({ "id" }):extend({
  done = S.bool({ default = false }),
  priority = M.Priority({ default = "normal" }),
  tags = Tags({ default = {} }),
})({ extra = "refuse", name = "NewTodo" })

M.Change = M.NewTodo:partial()({ extra = "refuse", name = "TodoChange" })

M.Page = S.obj({
  { "items", S.array(M.Todo) },
  { "total", S.int({ desc = "How many there are without `offset` and `limit`." }) },
}, { name = "TodoPage" })

return M
