-- gzip of answers: of a buffered body whole, of a stream as it comes.

local arguments = require "tidegate._core.arguments"
local core = require "tidegate._core.core"
local kit = require "tidegate._core.kit"
local tg = require "tidegate"
local gzip = core.open("gzip")
local negotiate = core.open("negotiate")

local concat, min, type = table.concat, math.min, type
local what = "tg.middleware.compress"

local PIECE = 256 * 1024 -- after so many bytes others have their turn

local known = { min = "number", types = "table", level = "number" }

local texts = {
  "text/*", "application/json", "application/javascript", "application/xml", "application/jsonl",
  "application/x-ndjson", "application/manifest+json", "application/wasm", "image/svg+xml",
}

local function is_type(text)
  return text:find("^[%w!#$&^_.+*-]+/[%w!#$&^_.+*-]+$") ~= nil
end

-- "text/html; charset=utf-8" -> may it? Remembered by the text, which an application has few of.
local function chooser(types)
  local matches = require("tidegate._core.media").matches
  local function look(media)
    if media:find("^%s*text/event%-stream") then
      return false
    end
    for _, pattern in ipairs(types) do
      if matches(media, pattern) then
        return true
      end
    end
    return false
  end
  return look
end

local function whole(level, body)
  local object, out = gzip.new(level), {}
  for first = 1, #body, PIECE do
    local last = min(first + PIECE - 1, #body)
    out[#out + 1] = gzip.write(object, body:sub(first, last), last == #body and "finish" or "more")
    if last < #body then
      tg.yield()
    end
  end
  return concat(out)
end

-- `out` for a stream that is compressed on its way.
local Out = {}
Out.__index = Out

local function last_piece(bytes)
  return bytes:sub(#bytes - (#bytes - 1) % PIECE)
end

local function pass(self, bytes, mode)
  for first = 1, #bytes - PIECE, PIECE do
    local ready = gzip.write(self.object, bytes:sub(first, first + PIECE - 1), "more")
    if ready ~= "" then
      self.below:write(ready)
    end
    tg.yield()
  end
  local ready = gzip.write(self.object, #bytes > PIECE and last_piece(bytes) or bytes, mode)
  if ready ~= "" then
    return self.below:write(ready)
  end
end

function Out:write(...)
  local text = select("#", ...) == 1 and (...) or concat({ ... })
  if type(text) == "number" then
    text = tostring(text)
  elseif type(text) ~= "string" then
    return self.below:write(text) -- says what is wrong with it
  end
  return pass(self, text, text == "" and "flush" or "more")
end

function Out:flush()
  return pass(self, "", "flush")
end

local function squeezed(level, run)
  return function(below)
    local out = setmetatable({ below = below, object = gzip.new(level) }, Out)
    run(out)
    return pass(out, "", "finish")
  end
end

-- Can this answer be compressed at all, whoever asks?
local function fits(plan, res)
  local status, headers = res.status, res.headers
  if status < 200 or status == 204 or status == 206 or status == 304 or headers["content-encoding"]
      or headers["content-range"] then
    return false
  end
  local control = headers["cache-control"]
  if type(control) == "string" and control:lower():find("no-transform", 1, true) then
    return false
  end
  local media = headers["content-type"] or res.type or res.kind == "json" and "application/json"
  if type(media) ~= "string" or not plan.fits(media) then
    return false
  elseif res.kind == "stream" then
    return not res.length or res.length >= plan.min
  end
  return kit.to_bytes(res) and type(res.body) == "string" and #res.body >= plan.min
end

local function compress(plan, res)
  local headers = res.headers
  if res.kind == "stream" then
    res.run, res.length = squeezed(plan.level, res.run), nil
  else
    res.body = whole(plan.level, res.body)
  end
  headers["content-encoding"], headers["content-length"], headers["accept-ranges"] = "gzip", nil, nil
  local tag = headers.etag
  if type(tag) == "string" and tag:sub(1, 1) == '"' then
    headers.etag = "W/" .. tag -- other bytes of the same meaning
  end
end

return function(opts)
  opts = arguments.options(what, opts, known)
  local types = opts.types or texts
  local plan = {
    min = kit.check_whole(what, "min", opts.min or 1024, 0, 2 ^ 53),
    level = kit.check_whole(what, "level", opts.level or 6, 1, 9),
    fits = chooser(kit.check_list(what, types, is_type, 'media types, such as "text/*"')),
  }
  return function(_, next)
    local res = next()
    if fits(plan, res) then
      kit.vary(res.headers, "Accept-Encoding")
      if negotiate.takes("gzip") then
        compress(plan, res)
      end
    end
    return res
  end
end
