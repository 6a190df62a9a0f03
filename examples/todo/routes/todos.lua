-- /todos. Each route says what it takes and gives; what does not fit never reaches a handler.
local tg = require "tidegate"
local auth = require "auth"
local shapes = require "shapes"
local todos = require "todos"

local S = tg.schema

local LOCATION = { location = "the address of the new todo" }

return {
  tags = { "todos" },

  ["GET /"] = {
    summary = "List todos",
    description = "In the order in which they were made.",
    operation_id = "list_todos",
    query = {
      offset = S.int({ min = 0, default = 0, desc = "How many to skip." }),
      limit = S.int({ min = 1, max = 100, default = 20, desc = "How many to show at most." }),
      done = S.bool({ optional = true, desc = "Only those that are done, or are not." }),
      priority = shapes.Priority({ optional = true }),
      q = S.str({ optional = true, min_len = 1, max_len = 100, desc = "Part of the title, in letters of any size." }),
    },
    response = shapes.Page,
    run = function(req)
      return todos.list(req.query)
    end,
  },

  ["POST /"] = {
    summary = "Add a todo",
    operation_id = "add_todo",
    deps = { auth.writer },
    body = shapes.NewTodo,
    status = 201,
    response = shapes.Todo,
    responses = { [201] = { desc = "It is added.", headers = LOCATION }, [409] = "There is one with this title." },
    run = function(req)
      local todo = todos.add(req.body)
      return 201, todo, { location = "/todos/" .. todo.id }
    end,
  },

  ["GET /{id:int}"] = {
    summary = "Show a todo",
    operation_id = "show_todo",
    response = shapes.Todo,
    responses = { [404] = "There is none with this id." },
    run = function(req)
      return todos.find(req.params.id)
    end,
  },

  ["PATCH /{id:int}"] = {
    summary = "Change a todo",
    description = "Fields that are not sent stay as they are.",
    operation_id = "change_todo",
    deps = { auth.writer },
    body = shapes.Change,
    response = shapes.Todo,
    responses = { [404] = "There is none with this id.", [409] = "Another one has this title." },
    run = function(req)
      return todos.change(req.params.id, req.body)
    end,
  },

  ["DELETE /{id:int}"] = {
    summary = "Remove a todo",
    operation_id = "remove_todo",
    deps = { auth.writer },
    status = 204,
    responses = { [404] = "There is none with this id." },
    run = function(req)
      todos.remove(req.params.id)
    end,
  },
}
