-- Methods of `req` and of a stream's `out`. The fields of `req` are in core/bind/request.c.

local core = require "tidegate._core.core"
local tg = require "tidegate"

local read = tg._ops.body_read
local write = tg._ops.stream_write
local throw = core.error_throw

local M = { request = {}, out = {} }
local request, out = M.request, M.out

local content_type = core.handler.content_type

-- Kept for as long as the request object is: what a body was read as, or who has taken it.
local bodies = setmetatable({}, { __mode = "k" })
local takers = setmetatable({}, { __mode = "k" })

local function check_taken(self)
  if takers[self] then
    throw("body_taken", takers[self] .. " has taken the body already; it comes only once")
  end
end

-- request -> { bytes that may still come, what raises when more do }; nil before the first limit.
local limits

local function read_limited(self)
  local piece, limit = read(self), limits[self]
  limit.left = limit.left - (piece and #piece or 0)
  if limit.left < 0 then
    return limit.refuse()
  end
  return piece
end

local function text_limited(self)
  local pieces = {}
  for piece in read_limited, self do
    pieces[#pieces + 1] = piece
  end
  return table.concat(pieces)
end

-- The body may have so many bytes; reading more calls `refuse`, which raises. Of several limits the lowest counts.
function M.limit(self, bytes, refuse)
  local function refuse_it()
    return refuse(bytes)
  end
  if bodies[self] then
    return #bodies[self] > bytes and refuse_it() or nil
  end
  limits = limits or setmetatable({}, { __mode = "k" })
  local old = limits[self]
  if not old or old.left > bytes then
    limits[self] = { left = bytes, refuse = refuse_it }
  end
end

-- Of a request by any of its objects: the text that its body was read as, and who has taken it piece by piece. Both are
-- kept by the object that was asked; who has another one of the same request finds it among the few that have read.
function M.body_state(self)
  local same = core.handler.same_request
  for other, text in next, bodies do
    if same(other, self) then
      return text
    end
  end
  for other, taker in next, takers do
    if same(other, self) then
      return nil, taker
    end
  end
end

-- Takes the body for `by`: an iterator over its pieces; over the whole text where that was read before, which stays.
function M.take(self, by)
  local text = bodies[self]
  if text then
    return function()
      local piece = text
      text = nil
      return piece ~= "" and piece or nil
    end
  end
  check_taken(self)
  takers[self] = by
  local read_one = limits and limits[self] and read_limited or read
  return function()
    return read_one(self)
  end
end

--- The whole body as a string; empty where there is none. ⏸
--- It is kept: reading it again, or as JSON, costs nothing and takes nothing from others.
--- @return string
function request:text()
  local text = bodies[self]
  if not text then
    check_taken(self)
    text = limits and limits[self] and text_limited(self) or read(self, true)
    bodies[self] = text
  end
  return text
end

--- The body as JSON (RFC 8259). ⏸ Answers 400 when it is malformed, 415 when the content type says that it is none, or
--- that it is not UTF-8.
--- @return any
function request:json()
  local kind = content_type(self)
  local fault = kind and kind ~= "application/json" and require("tidegate._core.media").json_fault(kind)
  if fault then
    throw("http", "415", { status = 415, detail = fault })
  end
  local text = request.text(self)
  local ok, value = core.raw_pcall(tg.json.decode, text)
  if ok then
    return value
  end
  local why = type(value) == "table" and value.message or tostring(value)
  throw("http", "400", { status = 400, detail = "the body is not valid JSON: " .. why, cause = value })
end

--- The body as a form, application/x-www-form-urlencoded or multipart/form-data: a table of strings and files, of equal
--- names the last. ⏸ Answers 400 when it is malformed, 413 past a limit of `limits.form_*`, 415 for other types.
--- @return table<string, string|tidegate.FormFile>
function request:form()
  return require("tidegate._core.form").last(self)
end

--- Iterates over the parts of a multipart form as they come. ⏸ What was not read of a part is skipped.
--- Answers as req:form() does.
--- @return fun(): tidegate.Part?
function request:parts()
  return require("tidegate._core.parts").iterate(self)
end

--- Iterates over the body as it comes, in pieces of any size; holds no more than one of them. ⏸
--- @return fun(): string|nil
function request:chunks()
  return M.take(self, "req:chunks()")
end

--- The value of a cookie that `tg.cookie` made with `signed = true`; `nil` where there is none, where it was changed or
--- belongs to another name, and where it is older than `max_age`.
--- @param name string
--- @param max_age? number seconds
--- @return string?
function request:signed_cookie(name, max_age)
  return require("tidegate._core.cookies").read(self, "signed", name, max_age)
end

--- The value of a cookie that `tg.cookie` made with `sealed = true`; else `nil`, as with req:signed_cookie.
--- @param name string
--- @param max_age? number seconds
--- @return string?
function request:sealed_cookie(name, max_age)
  return require("tidegate._core.cookies").read(self, "sealed", name, max_age)
end

--- `req:after(fn, ...)`: runs fn(...) when the last byte of the answer has left; its error is logged with the route.
function M.after(register)
  return function(self, fn, ...)
    if type(fn) ~= "function" then
      throw("not_function", "req:after: got " .. type(fn) .. "; pass a function")
    end
    local route, n, args = self.route, select("#", ...), { ... }
    return register(self, function()
      require("tidegate._core.tasks").background_as("req:after of " .. route, fn, unpack(args, 1, n))
    end)
  end
end

--- Sends bytes. ⏸ while the client has much to read; raises `closed` when it is gone.
--- @param ... string|number
function out:write(...)
  local n = select("#", ...)
  if n == 1 then
    return write(self, (...))
  end
  return write(self, table.concat({ ... }, "", 1, n))
end

--- Sends the head now, before there is anything to send after it. ⏸
function out:flush()
  return write(self, "")
end

return M
