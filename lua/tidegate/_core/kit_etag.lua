-- ETag of buffered answers, and 304 where the client has got them already (RFC 9110 sections 8.8.3 and 13).

local arguments = require "tidegate._core.arguments"
local core = require "tidegate._core.core"
local kit = require "tidegate._core.kit"
local crypto = core.open("crypto")
local negotiate = core.open("negotiate")

-- What is said of a representation that does not come with the answer.
local described = { "content-type", "content-encoding", "content-language", "content-length", "content-range" }

local function tag_of(body)
  return '"' .. crypto.base64url_encode(crypto.sha256(body):sub(1, 16)) .. '"'
end

return function(opts)
  arguments.options("tg.middleware.etag", opts, {})
  return function(req, next)
    local res = next()
    local reads = req.method == "GET" or req.method == "HEAD"
    if not reads or res.status ~= 200 or not kit.to_bytes(res) then
      return res
    end
    local tag = res.headers.etag
    if type(tag) ~= "string" then
      tag = tag_of(res.body)
      res.headers.etag = tag
    end
    local status = negotiate.condition(tag)
    if status == 412 then
      return core.error_throw("http", "412", { status = 412, detail = "the answer is another one by now" })
    elseif status then
      res.status, res.kind, res.body, res.type = status, "bytes", "", nil
      for _, name in ipairs(described) do
        res.headers[name] = nil
      end
    end
    return res
  end
end
