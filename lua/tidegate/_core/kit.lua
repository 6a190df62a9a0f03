-- What the middleware of tg.middleware have in common: checks of their options, and fields of answers.

local arguments = require "tidegate._core.arguments"
local core = require "tidegate._core.core"

local ipairs, type = ipairs, type
local misuse = arguments.misuse

local M = {}

--- A token (RFC 9110 section 5.6.2), as names of fields and methods are.
function M.is_token(text)
  return type(text) == "string" and text:find("^[%w!#$%%&'*+.^_`|~-]+$") ~= nil
end

--- Raises where an option is given and is no token.
function M.check_token(what, key, value)
  if value ~= nil and value ~= false and not M.is_token(value) then
    misuse(("%s: the option '%s' is a name without spaces and the like"):format(what, key))
  end
  return value
end

--- Raises where an option is given and cannot stand in a header.
function M.check_text(what, key, value)
  if type(value) == "string" and (value == "" or value:find("[%z\1-\8\10-\31\127]")) then
    misuse(("%s: the option '%s' is no value of a header"):format(what, key))
  end
  return value
end

--- Raises where an option is given and is no whole number within these limits.
function M.check_whole(what, key, value, least, most)
  if value ~= nil and (value < least or value > most or value % 1 ~= 0) then
    misuse(("%s: the option '%s' is a whole number from %d to %d"):format(what, key, least, most))
  end
  return value
end

--- A list of texts that `fits` accepts, or an error that says what is expected.
function M.check_list(what, list, fits, expected)
  if type(list) ~= "table" or #list == 0 then
    misuse(("%s: a list of %s expected"):format(what, expected))
  end
  for _, item in ipairs(list) do
    if type(item) ~= "string" or not fits(item) then
      local shown = type(item) == "string" and "'" .. item:gsub("%c", "?") .. "'" or "a " .. type(item)
      misuse(("%s: a list of %s expected, got %s"):format(what, expected, shown))
    end
  end
  return list
end

--- A list of tokens as one text.
function M.tokens(what, list, expected)
  return list and table.concat(M.check_list(what, list, M.is_token, expected), ", ")
end

local function has_word(text, word)
  text = "," .. text:lower():gsub("%s", "") .. ","
  return text:find("," .. word:lower() .. ",", 1, true) or text:find(",*,", 1, true)
end

--- Says by Vary (RFC 9110 section 12.5.5) that the answer depends on this field of the request.
function M.vary(headers, name)
  local old = headers.vary
  if type(old) == "table" then
    old = table.concat(old, ", ")
  end
  if old == nil then
    headers.vary = name
  elseif not has_word(old, name) then
    headers.vary = old .. ", " .. name
  end
end

--- Adds a line to those of a name that stands in several, such as Set-Cookie.
function M.add(headers, name, value)
  local old = headers[name]
  if old == nil then
    headers[name] = value
  elseif type(old) == "table" then
    local lines = { unpack(old) }
    lines[#lines + 1] = value
    headers[name] = lines
  else
    headers[name] = { old, value }
  end
end

--- Makes JSON the bytes that will be sent, so that they are encoded once, whoever looks at them. False where the answer
--- is of another kind, or will be refused.
function M.to_bytes(res)
  if res.kind ~= "json" then
    return res.kind == "bytes"
  end
  if not res.schema then
    res.body = require("tidegate").json.encode(res.body)
  else
    local native = require("tidegate._core.schema_program").native()
    if core.dev and native.promise(res.schema, res.body) then
      return false -- what is wrong with it is said where it would have been sent
    end
    res.body = native.encode(res.schema, res.body)
  end
  res.kind, res.schema, res.type = "bytes", nil, "application/json"
  return true
end

return M
