-- Reads the key of a route: "METHOD PATH", "METHOD,METHOD PATH" or "ANY PATH".
--
-- The same rules as core/http/route_pattern.c, which has the last word; here they are told with names and suggestions.

local suggest = require("tidegate._pure.suggest")

local M = {}

local METHODS = {
  "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK",
  "UNLOCK", "SEARCH", "REPORT", "PURGE",
}
local KINDS = { "int", "num", "path", "uuid" }

local is_method, is_kind = {}, {}
for _, name in ipairs(METHODS) do
  is_method[name] = true
end
for _, name in ipairs(KINDS) do
  is_kind[name] = true
end

local SEGMENTS_MAX, PARAMS_MAX, SEGMENT_MAX, NAME_MAX = 64, 16, 255, 64

--- Is the key of a file's table meant as a route? Keys of a spec are single words in lower case.
--- @param key any
--- @return boolean
function M.is_route(key)
  return type(key) == "string" and key:find("[%s/]") ~= nil or type(key) == "string" and key:find("^%u+$") ~= nil
end

local function check_param(inner, whole, last, names)
  local name, kind = inner:match("^([^:]*):(.*)$")
  name = name or inner
  if not name:find("^[%a_][%w_]*$") or #name > NAME_MAX then
    return ("'{%s}': the name of a parameter is a letter or '_', then letters, digits and '_'"):format(inner)
  elseif kind and not is_kind[kind] then
    local hint = suggest.phrase(kind, { unpack(KINDS) })
    return ("'{%s}': '%s' is no parameter type (int, num, uuid, path)%s"):format(inner, kind, hint)
  elseif names[name] then
    return ("two parameters are named '%s'"):format(name)
  elseif kind == "path" and not last then
    return ("'{%s}' takes the rest of the path, so it must be last in '%s'"):format(inner, whole)
  end
  names[name] = true
  names.count = names.count + 1
end

local function check_text(segment)
  if #segment > SEGMENT_MAX then
    return "a segment is longer than " .. SEGMENT_MAX .. " bytes"
  elseif segment:find("[{}]") then
    return ("'%s': a parameter is a whole segment: /{name} or /{name:int}"):format(segment)
  elseif segment:find("*", 1, true) then
    return "'*' is no pattern; the rest of a path is {name:path}"
  elseif segment:find("[%z\1-\32\127]") then
    return "white space and control bytes must be percent-encoded"
  elseif segment:find("[?#]") then
    return "a path has no '?' and no '#'; the query is in req.query"
  elseif segment:find("\\", 1, true) then
    return "a path has no backslash"
  elseif segment:gsub("%%%x%x", ""):find("%", 1, true) then
    return "a '%' begins no %XX; a '%' of its own is written %25"
  end
  local plain = segment:gsub("%%2[eE]", ".")
  if plain == "." or plain == ".." then
    return "'.' and '..' never reach the routes"
  end
  if segment:find("^:") then
    return ("'%s': a parameter is written {%s}"):format(segment, segment:match("^:([%a_][%w_]*)") or "name")
  end
end

-- Most paths are words between slashes, and short enough for every limit.
local function is_plain(path)
  return #path <= 2 * SEGMENTS_MAX and path:find("^/[%w_/-]*$") and not path:find("//", 1, true)
end

--- Checks the path of a route.
--- @param path string
--- @return string? problem
function M.check_path(path)
  if is_plain(path) then
    return nil
  elseif path:sub(1, 1) ~= "/" then
    return ("a path begins with '/': '/%s'"):format(path)
  end
  local names, count = { count = 0 }, 0
  for segment, slash in path:gmatch("/([^/]*)()") do
    local last = slash > #path
    count = count + 1
    local inner = segment:match("^{([^{}]*)}$")
    local problem
    if inner then
      problem = check_param(inner, path, last, names)
    elseif segment == "" and not last then
      problem = ("'%s' has an empty segment ('//')"):format(path)
    else
      problem = check_text(segment)
    end
    if problem then
      return problem
    end
  end
  if count > SEGMENTS_MAX then
    return "a path has at most " .. SEGMENTS_MAX .. " segments"
  elseif names.count > PARAMS_MAX then
    return "a path has at most " .. PARAMS_MAX .. " parameters"
  end
end

--- @param text string "GET" or "GET,POST" or "ANY"
--- @return string[]? methods in their order here, each once; all of them for ANY
--- @return string? problem
function M.parse_methods(text)
  if is_method[text] then
    return { text }
  elseif text == "ANY" then
    return { unpack(METHODS) }
  end
  local methods, seen = {}, {}
  for name in (text .. ","):gmatch("([^,]*),") do
    if name == "" then
      return nil, ("'%s' is no list of methods; write GET,POST"):format(text)
    elseif name == "ANY" then
      return nil, "ANY stands alone"
    elseif name == "CONNECT" or name == "TRACE" then
      return nil, name .. " is refused by the server; no route can take it"
    elseif not is_method[name] then
      local names = { "ANY", unpack(METHODS) }
      if is_method[name:upper()] then
        return nil, ("'%s' is no method; methods are in upper case: %s"):format(name, name:upper())
      end
      return nil, ("'%s' is no method%s"):format(name, suggest.phrase(name, names))
    elseif seen[name] then
      return nil, ("the method %s stands twice"):format(name)
    end
    seen[name] = true
    methods[#methods + 1] = name
  end
  return methods
end

--- @param key string "GET,POST /x/{id:int}"
--- @return { methods: string[], any: boolean, words: string, path: string }? parsed
--- @return string? problem
function M.parse(key)
  local words, path = key:match("^(%S+)%s+(.*)$")
  if key:find("^/") then
    return nil, ("'%s' has no method; write 'GET %s'"):format(key, key)
  elseif not words then
    return nil, ("'%s' has no path; write '%s /'"):format(key, key)
  elseif words:sub(-1) == "," then
    return nil, ("'%s': no blank after the comma: %s%s"):format(key, words, path)
  end
  local methods, problem = M.parse_methods(words)
  problem = problem or M.check_path(path)
  if problem then
    return nil, problem
  end
  return { methods = methods, any = words == "ANY", words = words, path = path }
end

--- The path under which the routes of a file lie: routes/v1/users.lua -> /v1/users, routes/index.lua -> "".
--- @param file string path inside the application
--- @return string prefix without a slash at its end
function M.prefix(file)
  local path = file:gsub("^routes/", "/"):gsub("%.lua$", "")
  path = path:gsub("/index$", "")
  return (path:gsub("[%z\1-\32\"#%%*<>?\\^`|\127]", function(c)
    return ("%%%02X"):format(c:byte())
  end))
end

--- @param prefix string
--- @param path string begins with "/"
--- @return string
function M.join(prefix, path)
  if path == "/" and prefix ~= "" then
    return prefix
  end
  return prefix .. path
end

return M
