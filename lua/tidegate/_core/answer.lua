-- Answer objects where somebody between the handler and the client looks at one: a middleware, an error handler.
--
-- `of(...)` makes one of whatever a handler may return; `of_error(err)` one that stands for a failure; `send` gives
-- back what core/bind/response.c takes, and raises the failure where it is still one.

local core = require "tidegate._core.core"

local error, getmetatable, next, rawget, rawset = error, getmetatable, next, rawget, rawset
local select, setmetatable, type = select, setmetatable, type
local throw, is_error = core.error_throw, core.is_error

local M = {}

-- Names of header fields are the same in any case (RFC 9110 section 5.1); here they are kept in lower case.
local any_case = {
  __index = function(fields, name)
    return type(name) == "string" and rawget(fields, name:lower()) or nil
  end,
  __newindex = function(fields, name, value)
    rawset(fields, type(name) == "string" and name:lower() or name, value)
  end,
}

local function fields_of(given)
  local fields = setmetatable({}, any_case)
  if given == nil then
    return fields
  elseif type(given) ~= "table" then
    return throw("bad_header", ("headers are a %s; give a table"):format(type(given)))
  end
  for name, value in next, given do
    fields[name] = value
  end
  return fields
end

local function is_answer(value)
  return type(value) == "table" and getmetatable(value) == core.handler.answer_meta
end

-- A body that is no answer object; C has the same rows (send_value in core/bind/response.c).
local function of_body(body)
  local kind = type(body)
  if kind == "table" then
    return { kind = "json", body = body }
  elseif kind == "string" then
    return { kind = "bytes", type = "text/plain; charset=utf-8", body = body }
  elseif body == nil then
    return { kind = "bytes", body = "" }
  end
  return throw("bad_answer", ("the handler returned a %s%s; return a table, a string, nothing, or a status and one of "
    .. "these"):format(kind, kind == "number" and " alone" or ""))
end

local function make(default, status, body, headers)
  local answer = body
  if not is_answer(body) then
    answer = setmetatable(of_body(body), core.handler.answer_meta)
    default = default or body == nil and 204
  end
  if getmetatable(answer.headers) ~= any_case then
    answer.headers = fields_of(answer.headers)
  end
  if headers ~= nil then
    for name, value in next, fields_of(headers) do
      answer.headers[name] = value
    end
  end
  answer.status = answer.status or status or default or 200
  return answer
end

--- The answer that return values stand for, in the form that a middleware sees: it has a status, and `headers` is a
--- table of names in any case.
--- @param default integer? the status where none is said
--- @return table answer
function M.of(default, ...)
  local first, second, third = ...
  if type(first) == "number" and select("#", ...) > 1 then
    return make(default, first, second, third)
  end
  return make(default, nil, first)
end

--- HTTP status that an error asks for.
--- @param err any
--- @return integer
function M.status_of(err)
  local status = is_error(err) and rawget(err, "status")
  return type(status) == "number" and status >= 400 and status <= 599 and status or 500
end

--- The answer of a failure: kind "problem", with the error itself in `error`.
--- @param err table an error object
--- @return table answer
function M.of_error(err)
  return setmetatable({
    kind = "problem", status = M.status_of(err), error = err, headers = fields_of(rawget(err, "headers")),
  }, core.handler.answer_meta)
end

--- What the pipeline returns to core/bind/response.c. A failure that nobody has answered is raised, with what was
--- added to it.
--- @param answer table
--- @return table answer
function M.send(answer)
  local err = answer.error
  if answer.kind ~= "problem" then
    return answer
  end
  rawset(err, "status", answer.status)
  rawset(err, "headers", next(answer.headers) and answer.headers or nil)
  error(err, 0)
end

M.is_answer = is_answer

return M
