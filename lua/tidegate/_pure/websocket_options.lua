-- The options of tg.websocket: what they take, and how they are kept.

local suggest = require("tidegate._pure.suggest")

local M = {}

local function list(value)
  if type(value) == "string" then
    return { value }
  elseif type(value) ~= "table" then
    return nil
  end
  local copy = {}
  for i = 1, #value do
    if type(value[i]) ~= "string" or value[i] == "" then
      return nil
    end
    copy[i] = value[i]
  end
  return copy
end

local function number(value, least, most)
  return type(value) == "number" and value >= least and value <= most and value or nil
end

-- Each gives the value to keep, or nil where it is wrong; and what is right.
local options = {
  protocols = { list, "a list of strings" },
  origins = { list, 'a list of origins such as "https://example.com", or "*"' },
  ping = {
    function(value)
      return value == false and 0 or number(value, 0.05, 86400)
    end,
    "a number of seconds from 0.05 to 86400, or false",
  },
  max_message = {
    function(value)
      return number(value, 125, 1073741824)
    end,
    "a number of bytes from 125 to 1073741824",
  },
  compress = {
    function(value)
      if type(value) == "boolean" or value == "context" then
        return value
      end
    end,
    'true, false or "context"',
  },
  headers = {
    function(value)
      return type(value) == "table" and value or nil
    end,
    "a table",
  },
}

--- What is wrong with them; nil: nothing.
--- @param opts any
--- @return string|nil
function M.problem(opts)
  if type(opts) ~= "table" then
    return "the options are a table, not a " .. type(opts)
  end
  for name, value in pairs(opts) do
    local row = options[name]
    if not row then
      local names = {}
      for known in pairs(options) do
        names[#names + 1] = known
      end
      return "no option " .. tostring(name) .. suggest.phrase(tostring(name), names, "")
    elseif row[1](value) == nil then
      return name .. " is " .. row[2]
    end
  end
end

--- The value to keep, of one that is right.
--- @param name string
--- @param value any
--- @return any
function M.kept(name, value)
  return options[name][1](value)
end

return M
