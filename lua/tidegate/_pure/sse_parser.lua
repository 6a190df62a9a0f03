-- Reads server-sent events out of pieces of a stream, as the HTML standard says (section "Interpreting an event
-- stream"): lines end with LF, CR or both, comments are dropped, an event that is not finished at the end is none.

local Parser = {}
Parser.__index = Parser

local M = {}

--- @return table parser
function M.new()
  return setmetatable({ rest = "", id = "", data = {}, first = true }, Parser)
end

local function strip_bom(parser, bytes)
  if parser.first and #bytes >= 3 then
    parser.first = false
    return bytes:sub(1, 3) == "\239\187\191" and bytes:sub(4) or bytes
  end
  return bytes
end

function Parser:finish(out)
  if self.data[1] then
    out[#out + 1] = {
      event = self.event or "message", data = table.concat(self.data, "\n"), id = self.id, retry = self.retry,
    }
  end
  self.data, self.event, self.retry = {}, nil, nil
end

function Parser:line(line, out)
  if line == "" then
    return self:finish(out)
  end
  local name, value = line:match("^([^:]*):? ?(.*)$")
  if name == "data" then
    self.data[#self.data + 1] = value
  elseif name == "event" then
    self.event = value ~= "" and value or nil
  elseif name == "id" and not value:find("%z") then
    self.id = value
  elseif name == "retry" and value:find("^%d+$") then
    self.retry = tonumber(value)
  end
end

--- Takes the next bytes; the events that are whole now.
--- @param bytes string
--- @return tidegate.ServerSentEvent[]
function Parser:feed(bytes)
  local text, out, at = strip_bom(self, self.rest .. bytes), {}, 1
  if self.skip_lf and text ~= "" then
    at = text:byte(1) == 10 and 2 or 1
    self.skip_lf = false
  end
  while true do
    local stop = text:find("[\r\n]", at)
    if not stop then
      break
    end
    self:line(text:sub(at, stop - 1), out)
    at = stop + 1
    if text:byte(stop) == 13 then
      if at > #text then
        self.skip_lf = true -- the LF of a CR that has come already ends nothing
      elseif text:byte(at) == 10 then
        at = at + 1
      end
    end
  end
  self.rest = text:sub(at)
  return out
end

--- @param read fun(): string|nil the next piece of a stream; nil at its end
--- @return fun(): tidegate.ServerSentEvent|nil iterator over its events
function M.events(read)
  local parser, waiting, at = M.new(), {}, 0
  return function()
    while at >= #waiting do
      local piece = read()
      if not piece then
        return nil
      end
      waiting, at = parser:feed(piece), 0
    end
    at = at + 1
    return waiting[at]
  end
end

return M
