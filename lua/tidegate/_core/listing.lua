-- The page of a folder that has none: what is in it, for people or, as JSON, for programs. Used by tidegate/static.lua.

local tg = require "tidegate"

local concat = table.concat

local M = {}

local entities = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["'"] = "&#39;" }

-- What is no UTF-8 is shown as U+FFFD; the reference has all bytes.
local function shown(name)
  return (name:gsub("[\128-\255]+", function(run)
    local made, at = {}, 1
    while at <= #run do
      local lead = run:byte(at)
      local more = lead >= 0xf0 and 3 or lead >= 0xe0 and 2 or 1
      local whole = lead >= 0xc2 and lead < 0xf5 and run:match("^." .. ("[\128-\191]"):rep(more), at)
      if whole and (whole:find("^[\224\240][\128-\143]") or whole:find("^\224[\144-\159]")
        or whole:find("^\237[\160-\191]") or whole:find("^\244[\144-\191]")) then
        whole = nil -- overlong, a surrogate, or past the last code point
      end
      made[#made + 1] = whole or "\239\191\189"
      at = at + (whole and #whole or 1)
    end
    return concat(made)
  end))
end

local function escaped(text)
  return (shown(text):gsub("[&<>\"']", entities):gsub("[%z\1-\31\127]", "\239\191\189"))
end

-- A relative reference: with "./" in front no name can be taken for a scheme or a host.
local function reference(row)
  return "./" .. row.name:gsub("[^%w._~-]", function(c)
    return ("%%%02X"):format(c:byte())
  end) .. (row.is_folder and "/" or "")
end

local function time_of(row)
  return tg.rfc3339(row.mtime, { digits = 0 })
end

local ROW = '<tr><td><a href="%s">%s</a></td><td>%s</td><td>%s</td></tr>\n'
local HEAD = [[<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>%s</title>
<style>:root{color-scheme:light dark}body{font:1em/1.6 sans-serif;margin:2em}td{padding-right:2em}
td+td{text-align:right;font-variant-numeric:tabular-nums}</style></head>
<body><h1>%s</h1>
<table>
]]

local function as_html(path, rows)
  local title = escaped(path)
  local out = { HEAD:format((title:gsub("%%", "%%%%")), (title:gsub("%%", "%%%%"))) }
  if path ~= "/" then
    out[2] = '<tr><td><a href="../">../</a></td><td></td><td></td></tr>\n'
  end
  for _, row in ipairs(rows) do
    local name = escaped(row.name) .. (row.is_folder and "/" or "")
    local size = row.is_folder and "" or ("%d"):format(row.size)
    out[#out + 1] = ROW:format(reference(row), name, size, time_of(row))
  end
  out[#out + 1] = "</table></body></html>\n"
  return tg.html(concat(out))
end

local function as_json(rows)
  local list = {}
  for i, row in ipairs(rows) do
    list[i] = {
      name = shown(row.name), type = row.is_folder and "directory" or "file", url = reference(row),
      size = not row.is_folder and row.size or nil, mtime = time_of(row),
    }
  end
  return tg.json(tg.json.array(list))
end

--- @param req table
--- @param rows { name: string, is_folder: boolean, size: number, mtime: number }[]
--- @return table answer
function M.answer(req, rows)
  local accept = (req.headers.accept or ""):lower()
  local wants_json = accept:find("application/json", 1, true) and not accept:find("text/html", 1, true)
  local made = wants_json and as_json(rows) or as_html(req.path, rows)
  made.headers = {
    ["cache-control"] = "no-cache", vary = "accept", ["x-content-type-options"] = "nosniff",
    ["content-security-policy"] = "default-src 'none'; style-src 'unsafe-inline'",
  }
  return made
end

return M
