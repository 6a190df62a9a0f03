-- Media types, as Content-Type says them; the C half is core/bind/media.c.

local core = require "tidegate._core.core"
local media = core.open("media")

local M = {}

-- matches(content_type, pattern): is it of that type? The pattern is "text/plain", "image/*", "application/*+json" or
-- "*/*"; "application/json" is also what ends with +json.
M.matches = media.matches

-- charset(content_type): "utf-8", "none" where it says none, "other", or "bad" where its parameters are malformed.
M.charset = media.charset

-- Why a body of this Content-Type is no JSON; nothing where it is. No type at all is taken for one that fits.
function M.json_fault(content_type)
  if content_type == "application/json" or content_type == nil then
    return nil
  elseif not media.matches(content_type, "application/json") then
    return "the body is not JSON: the content type is " .. content_type
  end
  local charset = media.charset(content_type)
  if charset == "other" or charset == "bad" then
    return "JSON is UTF-8 (RFC 8259 section 8.1), the content type is " .. content_type
  end
end

return M
