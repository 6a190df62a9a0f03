-- What a route declares of a request: its parameters, headers, cookies, body and form, checked in one go.
--
-- Each declared part becomes a check at load; a request runs them all, and what is wrong in any of them is one 422 with
-- every field. What was checked takes the place of the raw field of `req`.

local core = require "tidegate._core.core"
local media = require "tidegate._core.media"
local schema = require "tidegate._core.schema"
local sorted_keys = require "tidegate._pure.sorted_keys"

local ipairs, next, setmetatable, tostring, type = ipairs, next, setmetatable, tostring, type
local throw, check = core.error_throw, schema.check
local handler = core.handler
local set, query_lists = handler.set, handler.query_lists

local M = {}

-- --- where values come from ------------------------------------------------------------------------------------------

-- "x_token" declares the field x-token: names of fields hold no underscore in practice, names in Lua no hyphen.
local function field_name(name)
  return (name:lower():gsub("_", "-"))
end

local raw = {}

function raw.path(req)
  return req.params
end

function raw.query(req)
  return query_lists(req)
end

function raw.cookie(req)
  return req.cookies
end

function raw.header(req, names)
  local out, fields = {}, req.headers
  for name, field in next, names do
    out[name] = fields[field]
  end
  return out
end

local keep = {}

-- What the schema does not name is kept as it came: it belongs to the route, or to others.
local function with_others(value, all)
  for name, item in next, all do
    if value[name] == nil then
      value[name] = item
    end
  end
  return value
end

function keep.path(req, value)
  set(req, "params", with_others(value, req.params))
end

function keep.query(req, value)
  set(req, "query", value)
end

function keep.cookie(req, value)
  set(req, "cookies", with_others(value, req.cookies))
end

-- Declared ones in their types and under their declared names, beside all the others.
function keep.header(req, value, names)
  local fields, out = req.headers, {}
  for name, text in next, fields do
    out[name] = text
  end
  for name, item in next, value do
    out[names[name] or name] = item
    out[name] = item
  end
  set(req, "headers", setmetatable(out, debug.getmetatable(fields)))
end

-- --- bodies ----------------------------------------------------------------------------------------------------------

local function wrong_type(kind, wanted)
  return throw("http", "415", {
    status = 415, detail = ("this route takes %s, not %s"):format(wanted, kind or "a body without a content type"),
    headers = { accept = wanted },
  })
end

local function read_json(req)
  local kind = req.headers["content-type"]
  if kind and media.json_fault(kind) then
    return wrong_type(kind, "application/json")
  elseif req:text() == "" then
    return nil
  elseif not kind then
    return wrong_type(nil, "application/json") -- a page of another site can send that without being asked (F12)
  end
  return req:json()
end

local function read_form(req)
  local kind = req.headers["content-type"]
  if not kind and req:text() == "" then
    return {}
  end
  return require("tidegate._core.form").read(req)
end

local function read_text(req)
  local text = req:text()
  return text ~= "" and text or nil
end

-- How the body of a media type is read, and whether its values are all strings.
local function reader_of(pattern)
  if media.matches(pattern, "application/json") then
    return read_json, false
  elseif pattern == "multipart/form-data" or pattern == "application/x-www-form-urlencoded" then
    return read_form, true
  end
  return read_text, true
end

-- Keys with a slash are media types.
local function by_media(body)
  if type(body) ~= "table" or schema.is(body) then
    return false
  end
  local key = next(body)
  return type(key) == "string" and key:find("/", 1, true) ~= nil
end

local function body_check(node)
  return function(req, errors)
    local value
    value, errors = check(node, read_json(req), false, errors, "body", true)
    set(req, "body", value)
    return errors
  end
end

local function form_check(node)
  return function(req, errors)
    local value
    value, errors = check(node, read_form(req), true, errors, "form")
    set(req, "body", value)
    return errors
  end
end

local function media_check(rows)
  local wanted = {}
  for index, row in ipairs(rows) do
    wanted[index] = row.pattern
  end
  wanted = table.concat(wanted, ", ")
  return function(req, errors)
    local kind = req.headers["content-type"]
    for _, row in ipairs(rows) do
      if kind and media.matches(kind, row.pattern) then
        local value
        value, errors = check(row.node, row.read(req), row.coerce, errors, "body", not row.coerce)
        set(req, "body", value)
        return errors
      end
    end
    return wrong_type(kind, wanted)
  end
end

-- --- the plan --------------------------------------------------------------------------------------------------------

local KEYS = { path = "params", query = "query", header = "headers", cookie = "cookies" }

--- What an error of a declaration says, without a place.
function M.said(err)
  return type(err) == "table" and err.message or (tostring(err):gsub("^[^:]+:%d+: ", ""))
end

--- The node of what a spec says under a key; nil where it says nothing that is one.
function M.node_of(key, given, bad)
  local ok, node = core.raw_pcall(schema.as, given, key)
  if ok then
    return node
  end
  bad(M.said(node), key)
end

local function part_check(where, node, names)
  local read, store = raw[where], keep[where]
  return function(req, errors)
    local value
    value, errors = check(node, read(req, names), true, errors, where)
    if value ~= nil then
      store(req, value, names)
    end
    return errors
  end
end

local function header_names(node)
  local names = {}
  for _, field in ipairs(schema.data(node).fields or {}) do
    names[field.name or field[1]] = field_name(field.name or field[1])
  end
  return names
end

local function media_rows(body, bad)
  local rows = {}
  for _, pattern in ipairs(sorted_keys(body)) do
    local node = M.node_of("body", body[pattern], bad)
    local read, coerce = reader_of(pattern)
    rows[#rows + 1] = { pattern = pattern, node = node, read = read, coerce = coerce }
  end
  return rows
end

local function body_checks(spec, checks, bad)
  if spec.body ~= nil and spec.form ~= nil then
    bad("a route has a body or a form, not both; for both: body = { [\"application/json\"] = .., "
      .. "[\"multipart/form-data\"] = .. }", "form")
  elseif by_media(spec.body) then
    checks[#checks + 1] = media_check(media_rows(spec.body, bad))
  elseif spec.body ~= nil then
    checks[#checks + 1] = body_check(M.node_of("body", spec.body, bad))
  elseif spec.form ~= nil then
    checks[#checks + 1] = form_check(M.node_of("form", spec.form, bad))
  end
end

-- A parameter that a dependency needs: S.header("authorization", S.str) and its like.
local function param_check(param, index)
  local node = schema.as({ value = param.node })
  local read, name = raw[param.param], param.name
  local names = { [name] = field_name(name) }
  local place = { param.param, name }
  return function(req, errors, values)
    local found, problems = check(node, { value = read(req, names)[name] }, true, nil, param.param)
    for _, row in ipairs(problems or {}) do
      errors = errors or {}
      row.loc[2] = place[2] -- in place of "value"
      errors[#errors + 1] = row
    end
    values[index] = found and found.value
    return errors
  end
end

local function refuse(errors)
  local count = #errors
  return throw("http", "422", {
    status = 422,
    detail = count == 1 and "a field is not valid" or count .. " fields are not valid",
    problem = { errors = errors },
  })
end

--- @param spec table of the route
--- @param params table[] what dependencies need of the request
--- @param bad fun(message: string, key: string?)
--- @return fun(req: userdata): table|nil check raises 422; returns the values of `params`. nil: nothing is declared
function M.plan(spec, params, bad)
  local checks, wanted = {}, {}
  for _, where in ipairs({ "path", "query", "header", "cookie" }) do
    local given = spec[KEYS[where]]
    if given ~= nil then
      local node = M.node_of(KEYS[where], given, bad)
      checks[#checks + 1] = node and part_check(where, node, where == "header" and header_names(node) or nil)
    end
  end
  for index, param in ipairs(params or {}) do
    wanted[index] = param_check(param, index)
  end
  body_checks(spec, checks, bad)
  if #checks == 0 and #wanted == 0 then
    return nil
  end
  return function(req)
    local errors
    local values = wanted[1] and {} or nil
    for index = 1, #wanted do
      errors = wanted[index](req, errors, values)
    end
    for index = 1, #checks do
      errors = checks[index](req, errors)
    end
    if errors and errors[1] then
      return refuse(errors)
    end
    return values
  end
end

M.by_media = by_media

return M
