-- Paths that callers give.

local core = require "tidegate._core.core"
local misuse = require("tidegate._core.arguments").misuse

local find, sub = string.find, string.sub

local M = {}

-- `name` is the function that was called, `what` the argument where there are two.
function M.check(name, path, what)
  if type(path) ~= "string" or path == "" then
    misuse(name .. ": " .. (what or "a path") .. " expected, got " .. (path == "" and "an empty string" or type(path)))
  elseif find(path, "\0", 1, true) then
    core.error_throw("invalid", name .. ": a path cannot hold a NUL byte")
  end
end

-- Where a path leads: relative ones begin at the application's folder. A slash at the end would follow a link.
function M.absolute(path)
  local short = path:gsub("(.)/+$", "%1")
  return sub(short, 1, 1) == "/" and short or core.app_dir .. "/" .. short
end

return M
