-- Responses of tg.http: a head, and a body that is read when somebody asks for it.

local core = require "tidegate._core.core"
local tg = require "tidegate"
local urls = require "tidegate._pure.http_url"

local ops = tg._ops
local plain = ops.http_call()
local read = ops.http_read
local throw = core.error_throw

local M = {}

local LINE_MAX = 65536

--- The answer to a request of tg.http.
--- @class tidegate.HttpResponse
--- @field status integer
--- @field headers table<string, string> names in any case; of fields that came twice the values, a comma between
--- @field url string where it comes from, after redirects
--- @field method string of its request; after redirects, of the last one
--- @field version string "1.1" or "1.0"
--- @field cookies table<string, string> what its Set-Cookie fields set
--- @field trailers table<string, string>|nil fields that came after the body, once that was read
local Response = {}

local any_case = {
  __index = function(headers, name)
    local lower = type(name) == "string" and name:lower()
    return lower and lower ~= name and rawget(headers, lower) or nil
  end,
}

-- A list of names and values by turns as a table of them.
local function table_of(list)
  local out = setmetatable({}, any_case)
  for index = 1, #list, 2 do
    local name = list[index]:lower()
    out[name] = out[name] and out[name] .. ", " .. list[index + 1] or list[index + 1]
  end
  return out
end

local function label(res)
  return res.method .. " " .. urls.label(res._url)
end

--- @param request table
--- @param call userdata
--- @param status integer
--- @param minor integer
--- @param headers table<string, string>
--- @param repeated table<string, string[]>?
--- @param coding string? that is taken off
--- @return tidegate.HttpResponse
function M.new(request, call, status, minor, headers, repeated, coding)
  if coding then
    -- of the bytes as they came, which nobody will see
    headers["content-encoding"], headers["content-length"] = nil, nil
  end
  return setmetatable({
    status = status, version = "1." .. minor, headers = setmetatable(headers, any_case), method = request.method,
    _url = request.url, _call = call, _repeated = repeated, _max_body = request.set.max_body,
  }, Response)
end

-- The next bytes; notes the trailers at their end.
local function read_piece(res, all)
  local bytes, trailers = read(res._call, all, res._max_body)
  if trailers then
    res.trailers = table_of(trailers)
  end
  return bytes
end

local function check_taken(res)
  if res._taken then
    throw("body_taken", label(res) .. ": " .. res._taken .. " has taken the body already; it comes only once")
  end
end

--- The whole body, at most `max_body` bytes, else `too_large`. ⏸ It is kept, so that it can be asked for again.
--- @return string
function Response:text()
  local text = self._text
  if not text then
    check_taken(self)
    text = read_piece(self, true)
    self._text = text
  end
  return text
end

--- The body as JSON, whatever its content type. ⏸ Raises `json` where it is none.
--- @return any
function Response:json()
  local text = self:text()
  local ok, value = core.raw_pcall(tg.json.decode, text)
  if ok then
    return value
  end
  local why = type(value) == "table" and value.message or tostring(value)
  throw("json", label(self) .. ": the answer is not JSON: " .. why, { status = 502, cause = value })
end

local function take(res, by)
  local text = res._text
  if text then
    return function()
      local piece = text
      text = nil
      return piece ~= "" and piece or nil
    end
  end
  check_taken(res)
  res._taken = by
  local ended = false
  return function()
    local piece = not ended and read_piece(res, false) or nil
    ended = piece == nil
    return piece
  end
end

--- Iterates over the body as it comes, in pieces of any size: `for bytes in res:chunks() do`. ⏸ No more is read than
--- is asked for. Raises `cut` where the body breaks off.
--- @return fun(): string|nil
function Response:chunks()
  return take(self, "res:chunks()")
end

-- The end of a line that is too long is waited for in vain.
local function check_line(res, rest, limit)
  if #rest > limit then
    res:close()
    throw("too_large", ("%s: a line has more than %d bytes"):format(label(res), limit), { status = 502 })
  end
end

--- Iterates over the lines of the body, without their ends. ⏸ Raises `too_large` past `opts.limit` bytes of one (64
--- KiB).
--- @param opts? { limit?: integer }
--- @return fun(): string|nil
function Response:lines(opts)
  local limit = opts and opts.limit or LINE_MAX
  local next_piece, rest, at, ended = take(self, "res:lines()"), "", 1, false
  return function()
    while true do
      local stop = rest:find("\n", at, true)
      if stop then
        local line = rest:sub(at, stop - 1)
        at = stop + 1
        return (line:gsub("\r$", ""))
      end
      rest, at = rest:sub(at), 1
      if ended then
        local line = rest
        rest = ""
        return line ~= "" and line or nil
      end
      check_line(self, rest, limit)
      local piece = next_piece()
      rest, ended = rest .. (piece or ""), piece == nil
    end
  end
end

--- Iterates over server-sent events. ⏸
--- @return fun(): tidegate.ServerSentEvent|nil
function Response:events()
  return require("tidegate._pure.sse_parser").events(take(self, "res:events()"))
end

--- Returns the response; where the status is 400 or more it raises `bad_status` instead, with it in `err.response`.
--- Uncaught in a handler that is 502.
--- @return tidegate.HttpResponse
function Response:ok()
  if self.status >= 400 then
    throw("bad_status", ("%s was answered with %d"):format(label(self), self.status),
      { status = 502, response = self })
  end
  return self
end

--- All values of a header field, in their order.
--- @param name string
--- @return string[]
function Response:all(name)
  name = name:lower()
  local list = self._repeated and self._repeated[name]
  local one = not list and self.headers[name]
  return list or one and { one } or {}
end

--- Lets go of the body: what is left of it is not read. At the end of the request, job or script that happens by
--- itself.
function Response:close()
  plain.close(self._call)
end

Response.__index = function(res, key)
  if key == "url" then
    return urls.format(res._url)
  elseif key == "cookies" then
    return require("tidegate._pure.cookie_jar").read(res:all("set-cookie"))
  end
  return Response[key]
end

Response.__tostring = function(res)
  return ("response %d of %s"):format(res.status, label(res))
end

return M
