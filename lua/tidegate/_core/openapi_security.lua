-- How clients are let in, in the OpenAPI document: schemes, and what an operation requires of them.
--
-- A scheme is what tg.security made (lua/tidegate/security.lua): { definition, name, scopes, optional }. Dependencies
-- carry theirs; the key `security` of a spec says it for routes whose middleware does the checking.

local tg = require("tidegate")

local M = {}

local array = tg.json.array

--- @param schemes table[]
function M.has_schemes(schemes)
  return #schemes > 0
end

--- @param schemes table[]
function M.has_scopes(schemes)
  for _, scheme in ipairs(schemes) do
    if #scheme.scopes > 0 then
      return true
    end
  end
  return false
end

-- The key of a definition in the components; equal ones share it.
local function key_of(doc, scheme)
  doc.schemes = doc.schemes or {}
  local key, number = doc.schemes[scheme.definition], 1
  if key then
    return key
  end
  key = scheme.name
  while doc.components.securitySchemes[key] do
    number = number + 1
    key = scheme.name .. number
  end
  doc.components.securitySchemes[key] = scheme.definition
  doc.schemes[scheme.definition] = key
  return key
end

-- All of the schemes at once.
local function requirement(doc, schemes)
  local out = {}
  for _, scheme in ipairs(schemes) do
    local key = key_of(doc, scheme)
    local scopes = out[key] or {}
    for _, scope in ipairs(scheme.scopes) do
      scopes[scope] = true
    end
    out[key] = scopes
  end
  for key, set in pairs(out) do
    out[key] = array(require("tidegate._pure.sorted_keys")(set))
  end
  return out
end

local function scheme_of(item)
  return type(item) == "table" and rawget(item, "security") or nil
end

--- A list of ways in: each a dependency of tg.security, or a list of those that are all needed.
--- @param doc table
--- @param list table[]
--- @return table security
function M.listed(doc, list)
  local out = {}
  for index, item in ipairs(list) do
    local schemes = {}
    for number, one in ipairs(scheme_of(item) and { item } or item) do
      schemes[number] = scheme_of(one)
    end
    out[index] = requirement(doc, schemes)
  end
  return array(out)
end

--- @param doc table
--- @param spec table
--- @param schemes table[] of dependencies
--- @return table? security
function M.of(doc, spec, schemes)
  if spec.security then
    return M.listed(doc, spec.security)
  elseif #schemes == 0 then
    return nil
  end
  local needed = {}
  for _, scheme in ipairs(schemes) do
    needed[#needed + 1] = not scheme.optional and scheme or nil
  end
  local out = { requirement(doc, schemes) }
  if #needed < #schemes then
    out[2] = requirement(doc, needed) -- it is enough, too
  end
  return array(out)
end

return M
