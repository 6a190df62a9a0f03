-- Compares two schemas of OpenAPI documents (JSON Schema 2020-12), as something that clients send ("input") or read
-- ("output"). Used by openapi_diff.lua.

local sorted_keys = require("tidegate._pure.sorted_keys")

local M = {}

--- What a `$ref` of the document stands for; anything else is returned as it is.
--- @param document table
--- @param item any
--- @return table
function M.resolve(document, item)
  for _ = 1, 32 do
    local ref = type(item) == "table" and item["$ref"]
    if type(ref) ~= "string" then
      break
    end
    local at = document
    for part in ref:gsub("^#/?", ""):gmatch("[^/]+") do
      part = part:gsub("~1", "/"):gsub("~0", "~")
      at = type(at) == "table" and at[part] or nil
    end
    item = at
  end
  return type(item) == "table" and item or {}
end

local function same(a, b)
  if type(a) ~= "table" or type(b) ~= "table" then
    return a == b
  end
  for key, value in pairs(a) do
    if not same(value, b[key]) then
      return false
    end
  end
  for key in pairs(b) do
    if a[key] == nil then
      return false
    end
  end
  return true
end

local function has(list, value)
  for _, item in ipairs(list) do
    if same(item, value) then
      return true
    end
  end
  return false
end

-- A set of type names; nil where any is taken.
local function types_of(schema)
  local given = schema.type
  if given == nil then
    return nil
  end
  local set = {}
  for _, name in ipairs(type(given) == "table" and given or { given }) do
    set[name] = true
  end
  return set
end

local function shown(set)
  return set and table.concat(sorted_keys(set), " or ") or "anything"
end

-- Is everything of `inner` in `outer`?
local function within(inner, outer)
  if not outer then
    return true
  elseif not inner then
    return false
  end
  for name in pairs(inner) do
    if not outer[name] and not (name == "integer" and outer.number) then
      return false
    end
  end
  return true
end

local function compare_types(diff, mode, where, old, new)
  local before, after = types_of(old), types_of(new)
  local widened, narrowed = within(before, after), within(after, before)
  if widened and narrowed then
    return true
  end
  local breaking = mode == "input" and not widened or mode == "output" and not narrowed
  -- An answer that nothing was said of before has become one that is described.
  diff:add(breaking and not (mode == "output" and before == nil), where, "was %s, is %s", shown(before), shown(after))
  return widened or narrowed
end

local function values_of(schema)
  return schema.enum or schema.const ~= nil and { schema.const } or nil
end

local function compare_values(diff, mode, where, old, new)
  local before, after = values_of(old), values_of(new)
  if after and not before then
    diff:add(mode == "input", where, "only some values are left")
  elseif before and not after then
    diff:add(false, where, "is not bound to some values any more")
  end
  if not before or not after then
    return
  end
  for _, value in ipairs(before) do
    if not has(after, value) then
      diff:add(mode == "input", where, "the value %s is gone", tostring(value))
    end
  end
  for _, value in ipairs(after) do
    if not has(before, value) then
      diff:add(false, where, "the value %s is new", tostring(value))
    end
  end
end

local AT_LEAST = { "minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties" }
local AT_MOST = { "maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties" }

-- Limits count for what is sent; a client reads what it gets.
local function compare_limits(diff, where, old, new)
  for _, name in ipairs(AT_LEAST) do
    local before, after = old[name], new[name]
    if after and (not before or after > before) then
      diff:add(true, where, "%s was %s, is %s", name, tostring(before or "none"), tostring(after))
    elseif before and (not after or after < before) then
      diff:add(false, where, "%s was %s, is %s", name, tostring(before), tostring(after or "none"))
    end
  end
  for _, name in ipairs(AT_MOST) do
    local before, after = old[name], new[name]
    if after and (not before or after < before) then
      diff:add(true, where, "%s was %s, is %s", name, tostring(before or "none"), tostring(after))
    elseif before and (not after or after > before) then
      diff:add(false, where, "%s was %s, is %s", name, tostring(before), tostring(after or "none"))
    end
  end
  for _, name in ipairs({ "pattern", "format", "multipleOf", "uniqueItems" }) do
    local before, after = old[name], new[name]
    if before ~= after then
      diff:add(after ~= nil and after ~= false, where, "%s was %s, is %s", name, tostring(before or "none"),
        tostring(after or "none"))
    end
  end
end

local function set_of(list)
  local set = {}
  for _, name in ipairs(list or {}) do
    set[name] = true
  end
  return set
end

local function compare_sent_fields(diff, where, old, new)
  local before, after = old.properties or {}, new.properties or {}
  local was, is = set_of(old.required), set_of(new.required)
  local closed = new.additionalProperties == false
  for _, name in ipairs(sorted_keys(before)) do
    if after[name] == nil then
      diff:add(closed, where .. "." .. name, closed and "the field is refused now" or "the field is ignored now")
    end
  end
  for _, name in ipairs(sorted_keys(is)) do
    if not was[name] then
      diff:add(true, where .. "." .. name, "the field is required now")
    end
  end
  for _, name in ipairs(sorted_keys(after)) do
    if was[name] and not is[name] then
      diff:add(false, where .. "." .. name, "the field is optional now")
    elseif before[name] == nil and not is[name] then
      diff:add(false, where .. "." .. name, "a new field")
    end
  end
  if closed and old.additionalProperties ~= false then
    diff:add(true, where, "unknown fields are refused now")
  end
end

local function compare_read_fields(diff, where, old, new)
  local before, after = old.properties or {}, new.properties or {}
  local was, is = set_of(old.required), set_of(new.required)
  for _, name in ipairs(sorted_keys(before)) do
    if after[name] == nil then
      diff:add(true, where .. "." .. name, "the field is gone")
    elseif was[name] and not is[name] then
      diff:add(true, where .. "." .. name, "the field may be missing now")
    end
  end
  for _, name in ipairs(sorted_keys(after)) do
    if before[name] == nil then
      diff:add(false, where .. "." .. name, "a new field")
    end
  end
end

local function compare_fields(diff, mode, where, old, new)
  if mode == "input" then
    compare_sent_fields(diff, where, old, new)
  else
    compare_read_fields(diff, where, old, new)
  end
  local after = new.properties or {}
  for _, name in ipairs(sorted_keys(old.properties or {})) do
    if after[name] ~= nil then
      M.compare(diff, mode, where .. "." .. name, old.properties[name], after[name])
    end
  end
  if type(old.additionalProperties) == "table" and type(new.additionalProperties) == "table" then
    M.compare(diff, mode, where .. ".*", old.additionalProperties, new.additionalProperties)
  end
end

local function alternatives(document, schema)
  local list = schema.anyOf or schema.oneOf
  if not list then
    return nil
  end
  local out = {}
  for index, item in ipairs(list) do
    out[index] = M.resolve(document, item)
  end
  return out
end

-- Would a client that knows one of `from` get along with what is there now?
local function fits(diff, mode, old, new)
  local probe = setmetatable({ rows = {}, old = diff.old, new = diff.new, seen = diff.seen }, getmetatable(diff))
  M.compare(probe, mode, "", old, new)
  for _, row in ipairs(probe.rows) do
    if row.breaking then
      return false
    end
  end
  return true
end

local function compare_alternatives(diff, mode, where, old, new)
  local before = alternatives(diff.old, old) or { old }
  local after = alternatives(diff.new, new) or { new }
  for _, item in ipairs(mode == "input" and before or after) do
    local found = false
    for _, other in ipairs(mode == "input" and after or before) do
      found = found or fits(diff, mode, mode == "input" and item or other, mode == "input" and other or item)
    end
    if not found then
      return diff:add(true, where, mode == "input" and "an alternative is gone or narrower"
        or "an alternative is new or wider")
    end
  end
  if #before ~= #after then
    diff:add(false, where, "had %d alternatives, has %d", #before, #after)
  end
end

-- allOf is how documents say "this one, and these fields, too".
local function flat(document, schema)
  if not schema.allOf then
    return schema
  end
  local out = { properties = {}, required = {} }
  local function merge(part)
    for key, value in pairs(part) do
      if key == "properties" then
        for name, item in pairs(value) do
          out.properties[name] = item
        end
      elseif key == "required" then
        for _, name in ipairs(value) do
          out.required[#out.required + 1] = name
        end
      elseif key ~= "allOf" then
        out[key] = value
      end
    end
  end
  for _, part in ipairs(schema.allOf) do
    merge(flat(document, M.resolve(document, part)))
  end
  merge(schema)
  return out
end

--- Adds what has changed to `diff`.
--- @param diff table of openapi_diff.lua: old, new, add
--- @param mode "input"|"output"
--- @param where string
--- @param old any schema; nil or a boolean takes anything
--- @param new any
function M.compare(diff, mode, where, old, new)
  local key = mode .. tostring(old) .. tostring(new)
  diff.seen = diff.seen or {}
  if diff.seen[key] then
    return
  end
  old, new = flat(diff.old, M.resolve(diff.old, old)), flat(diff.new, M.resolve(diff.new, new))
  diff.seen[key] = true -- a schema may hold itself
  if alternatives(diff.old, old) or alternatives(diff.new, new) then
    compare_alternatives(diff, mode, where, old, new)
  elseif compare_types(diff, mode, where, old, new) then
    compare_values(diff, mode, where, old, new)
    if mode == "input" then
      compare_limits(diff, where, old, new)
    end
    compare_fields(diff, mode, where, old, new)
    if type(old.items) == "table" and type(new.items) == "table" then
      M.compare(diff, mode, where .. "[]", old.items, new.items)
    end
  end
  diff.seen[key] = nil
end

return M
