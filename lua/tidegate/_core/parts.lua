-- Parts of a multipart form, as they come: nothing is read that nobody asked for, and nothing is kept.
-- The reader is http/multipart.c behind core/bind/form.c; what is made of the parts here, _core/form.lua makes a table.

local core = require "tidegate._core.core"
local matches = require("tidegate._core.media").matches
local take = require("tidegate._core.request").take

local form = core.open("form")
local content_type = core.handler.content_type
local throw = core.error_throw

local M = {}

-- Answers a request whose body cannot be taken.
function M.refuse(status, detail)
  throw("http", tostring(status), { status = status, detail = detail })
end

-- The limits of forms: { fields=, files=, field=, memory= }.
M.limits = form.limits

local function new_reader(req, limits)
  local kind = content_type(req)
  if not kind or not matches(kind, "multipart/form-data") then
    M.refuse(415, "the body is not a multipart form: the content type is " .. (kind or "missing"))
  end
  local reader, why = form.reader(kind, limits.fields, limits.files)
  return reader or M.refuse(400, why)
end

-- Reads the body as a form: a function that gives what comes next: "part" and its head, "data" and bytes, "over"; at
-- the end of the form nothing. ⏸ `by` is who takes the body.
function M.events(req, by, limits)
  local reader = new_reader(req, limits)
  local pieces = take(req, by)
  local at_end = false

  local function checked(kind, value, why)
    if kind == "bad" then
      M.refuse(value, "the body is no form that is taken: " .. why)
    end
    return kind, value
  end

  return function()
    while not at_end do
      local kind, value, why = reader:next()
      if kind then
        return checked(kind, value, why)
      end
      local piece = pieces()
      if piece then
        reader:feed(piece)
      else
        at_end = true
        return checked(reader:finish())
      end
    end
  end
end

--- A part of a multipart form, while it comes.
--- @class tidegate.Part
--- @field name string the name of the field
--- @field filename? string of a file: the last component of what was sent, maybe empty
--- @field type string its Content-Type; "text/plain" where none was sent
--- @field headers table<string, string> of the part; names in any case
local Part = {}
Part.__index = Part
Part.__metatable = "tg.part"

function Part.__tostring(self)
  return "tg.part: " .. self.name
end

local streams = setmetatable({}, { __mode = "k" }) -- part -> { events=, current=, over= }

--- The next bytes of the part, of any number; `nil` at its end. ⏸
--- Raises `body_taken` once the next part was asked for.
--- @return string?
function Part:read()
  local stream = streams[self]
  if stream.current ~= self then
    throw("body_taken", "part:read: the part '" .. self.name .. "' has gone by: the next one was asked for")
  elseif stream.over then
    return nil
  end
  local kind, bytes = stream.events()
  stream.over = kind ~= "data"
  return bytes
end

--- Iterates over the bytes of the part as they come, in pieces of any size. ⏸
--- @return fun(): string?
function Part:chunks()
  return function()
    return self:read()
  end
end

--- All that is left of the part. ⏸ Answers 413 where it is more than `limit`.
--- @param limit? integer bytes (limits.form_field, 1 MiB)
--- @return string
function Part:text(limit)
  limit = limit or M.limits().field
  local pieces, size = {}, 0
  for piece in self:chunks() do
    size = size + #piece
    if size > limit then
      M.refuse(413, ("a part of the form is larger than %d bytes"):format(limit))
    end
    pieces[#pieces + 1] = piece
  end
  return table.concat(pieces)
end

-- Iterates over the parts of a request's body. ⏸
function M.iterate(req)
  local stream = { over = true }
  stream.events = M.events(req, "req:parts()", M.limits())
  return function()
    while not stream.over do
      stream.over = stream.events() ~= "data"
    end
    local kind, head = stream.events()
    if not kind then
      stream.current = nil
      return nil
    end
    stream.current, stream.over = head, false
    streams[head] = stream
    return setmetatable(head, Part)
  end
end

return M
