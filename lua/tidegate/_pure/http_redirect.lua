-- Which request a redirect asks for: RFC 9110 section 15.4, and what fetch of browsers does where that leaves a
-- choice.
--
-- A request here is a table { method, url, fields, body, ... }: `fields` by lower-case name, `url` as of http_url.lua.

local urls = require "tidegate._pure.http_url"

local M = {}

local redirects = { [301] = true, [302] = true, [303] = true, [307] = true, [308] = true }

-- Fields that speak of the body, and go with it.
local of_body = {
  "content-type", "content-length", "content-encoding", "content-language", "content-location", "transfer-encoding",
  "expect", "digest", "content-digest", "repr-digest",
}

-- Fields that are for one origin alone.
local of_origin = { "authorization", "cookie", "proxy-authorization", "host", "origin" }

local function becomes_get(status, method)
  return status == 303 and method ~= "GET" and method ~= "HEAD"
    or (status == 301 or status == 302) and method == "POST"
end

local function without(fields, names)
  for _, name in ipairs(names) do
    fields[name] = nil
  end
end

--- Is it a redirect that names where to go?
--- @param status integer
--- @param location string?
--- @return boolean
function M.is_redirect(status, location)
  return redirects[status] and location ~= nil or false
end

--- The request that the answer asks for; nil where it cannot be made, and why.
--- @param request table
--- @param status integer
--- @param location string
--- @param replayable boolean can the body be sent again?
--- @return table? request
--- @return string? why
function M.follow(request, status, location, replayable)
  local url, why = urls.resolve(request.url, location)
  if not url then
    return nil, why
  end
  local out, fields = {}, {}
  for key, value in pairs(request) do
    out[key] = value
  end
  for name, field in pairs(request.fields) do
    fields[name] = field
  end
  out.url, out.fields = url, fields
  if becomes_get(status, request.method) then
    out.method, out.body = "GET", nil
    without(fields, of_body)
  elseif request.body ~= nil and not replayable then
    return nil, "the body was streamed and cannot be sent again"
  end
  if not urls.same_origin(request.url, url) then
    without(fields, of_origin)
    out.crossed = true
  end
  return out
end

return M
