-- What the routes of _core/openapi_routes.lua answer: the document, the page /docs, and the page's files.
--
-- The document is made at the first request that wants it, and kept as text as long as the state lives. The page is
-- made of the files of lua/tidegate/_assets/, whose addresses change with their bytes, so that browsers keep them.

local answers = require("tidegate.answers")
local core = require("tidegate._core.core")
local hash = require("tidegate._pure.hash")
local openapi = require("tidegate._core.openapi")
local tg = require("tidegate")

local assets = core.open("asset")

local M = {}

-- name of the file -> asset, media type
local files = {
  ["docs.css"] = { "docs/docs.css", "text/css; charset=utf-8" },
  ["docs.js"] = { "docs/docs.js", "text/javascript; charset=utf-8" },
  ["favicon-32x32.png"] = { "swagger-ui/favicon-32x32.png", "image/png" },
  ["swagger-ui.css"] = { "swagger-ui/swagger-ui.css", "text/css; charset=utf-8" },
  ["swagger-ui-bundle.js"] = { "swagger-ui/swagger-ui-bundle.js", "text/javascript; charset=utf-8" },
}
for _, name in ipairs { "swagger-ui-bundle.js.LICENSE.txt", "LICENSE", "NOTICE" } do
  files[name] = { "swagger-ui/" .. name, "text/plain; charset=utf-8" }
end

-- Nothing but our own files runs, and nothing is asked but our own server. Swagger UI sets its styles by script, so
-- that not even they have to be allowed inline.
local POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
  .. "connect-src 'self'%s; form-action 'none'; frame-ancestors 'none'; base-uri 'none'"

-- --- conditional requests --------------------------------------------------------------------------------------------

-- RFC 9110 section 13.1.2: tags are compared without their W/.
local function has_etag(list, etag)
  for tag in list:gmatch('"[^"]*"') do
    if tag == etag then
      return true
    end
  end
  return list:find("^%s*%*%s*$") ~= nil
end

local function answer(req, bytes, media, headers)
  local known = req.headers["if-none-match"]
  headers["x-content-type-options"] = "nosniff"
  if known and has_etag(known, headers.etag) then
    return 304, nil, headers
  end
  return answers.bytes(type(bytes) == "function" and bytes() or bytes, media, { headers = headers })
end

-- --- the document ----------------------------------------------------------------------------------------------------

-- Of a large application it takes long: others have their turns meanwhile.
local function pause()
  local count = 0
  return function()
    count = count + 1
    if count % 50 == 0 then
      tg.yield()
    end
  end
end

local function document_of(site)
  if not site.text then
    local settings = site.openapi or require("tidegate._pure.openapi_config").default()
    local text = openapi.text(site.routes, settings, pause())
    site.text, site.etag = text, '"' .. hash(text) .. '"'
  end
  return site.text, site.etag
end

--- GET /openapi.json
function M.document(site, req)
  local text, etag = document_of(site)
  return answer(req, text, "application/json", { etag = etag, ["cache-control"] = "no-cache" })
end

-- --- the page --------------------------------------------------------------------------------------------------------

local escapes = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;" }

local function escape(text)
  return (text:gsub('[&<>"]', escapes))
end

--- How a page at `from` writes the address of `to`, so that it is right below any prefix that a proxy puts before both.
--- @param from string path
--- @param to string path
--- @return string
function M.relative(from, to)
  local at = 1
  for stop in from:gmatch("()/") do
    if from:sub(1, stop) ~= to:sub(1, stop) then
      break
    end
    at = stop
  end
  local up = select(2, from:sub(at + 1):gsub("/", ""))
  return (up == 0 and "./" or ("../"):rep(up)) .. to:sub(at + 1)
end

local function address(site, file)
  return M.relative(site.docs, site.docs:gsub("/$", "") .. "/" .. assets.tag(files[file][1]) .. "/" .. file)
end

-- "https://api.example.com/v1" -> " https://api.example.com": the page may ask the servers that the document names.
local function origins(servers)
  local out = {}
  for _, server in ipairs(servers or {}) do
    local origin = server.url:match("^https?://[%w.:%[%]_-]+")
    out[#out + 1] = origin and " " .. origin
  end
  return table.concat(out)
end

local function make_page(site)
  local settings = site.openapi or require("tidegate._pure.openapi_config").default()
  local page = assets.bytes("docs/docs.html"):gsub("{{([%w.-]+)}}", function(name)
    local text = name == "title" and settings.title or name == "document" and M.relative(site.docs, site.path)
    return escape(text or address(site, name))
  end)
  return page, POLICY:format(origins(settings.servers))
end

--- GET /docs
function M.page(site, req)
  if not site.page then
    site.page, site.policy = make_page(site)
  end
  return answer(req, site.page, "text/html; charset=utf-8", {
    etag = '"' .. hash(site.page) .. '"',
    ["cache-control"] = "no-cache",
    ["content-security-policy"] = site.policy,
    ["referrer-policy"] = "no-referrer",
  })
end

-- --- its files -------------------------------------------------------------------------------------------------------

-- RFC 9110 section 12.5.3
local function takes_gzip(req)
  local list = req.headers["accept-encoding"]
  for coding, rest in ((list or ""):lower() .. ","):gmatch("%s*([^%s;,]+)%s*([^,]*),") do
    if coding == "gzip" or coding == "*" then
      return not rest:find("^;%s*q=0%.?0*%s*$")
    end
  end
  return false
end

--- GET /docs/{tag}/{file}
function M.asset(site, req)
  local row = files[req.params.file]
  local tag, is_gzip
  if row then
    tag, is_gzip = assets.tag(row[1])
  end
  if tag ~= req.params.tag then
    return answers.abort(404, "no such file")
  end
  local coded = is_gzip and takes_gzip(req)
  return answer(req, function()
    return coded and assets.bytes(row[1]) or assets.plain(row[1])
  end, row[2], {
    etag = '"' .. tag .. (coded and "-gzip" or "") .. '"',
    ["cache-control"] = "public, max-age=31536000, immutable",
    ["content-encoding"] = coded and "gzip" or nil,
    vary = is_gzip and "accept-encoding" or nil,
  })
end

return M
