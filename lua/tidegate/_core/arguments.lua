-- Checks of what callers give: misuse is an ordinary error at the line of the call.

local core = require "tidegate._core.core"

local M = {}

-- Raises an error that begins with the nearest line of the application.
local function misuse(text)
  error(core.caller(1) .. ": " .. text, 0)
end

M.misuse = misuse

-- An options table whose keys are all `known`, key -> type ("string", "string|table"); an empty one where there is
-- none.
function M.options(name, opts, known)
  if opts == nil then
    return {}
  elseif type(opts) ~= "table" then
    misuse(name .. ": options are a table, got " .. type(opts))
  end
  for key, value in pairs(opts) do
    if not known[key] then
      local names = {}
      for other in pairs(known) do
        names[#names + 1] = other
      end
      misuse(name .. ": no option '" .. tostring(key) .. "'"
        .. require("tidegate._pure.suggest").phrase(tostring(key), names, ""))
    elseif type(value) ~= known[key] and not ("|" .. known[key] .. "|"):find("|" .. type(value) .. "|", 1, true) then
      misuse(name .. ": the option '" .. key .. "' is a " .. known[key]:gsub("|", " or ") .. ", got " .. type(value))
    end
  end
  return opts
end

-- A string, or a number as its text.
function M.data(name, data)
  if type(data) == "number" then
    return tostring(data)
  elseif type(data) ~= "string" then
    misuse(name .. ": a string expected, got " .. type(data))
  end
  return data
end

-- A whole number of bytes, at least one.
function M.count(name, count)
  if type(count) ~= "number" or count < 1 or count % 1 ~= 0 then
    misuse(name .. ": a number of bytes expected, got " .. tostring(count))
  end
  return count
end

return M
