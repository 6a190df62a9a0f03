-- A script outside of any route, for `tidegate exec`: compiling it, and showing how it failed.

local caret = require "tidegate._pure.caret"
local compile = require "tidegate._core.compile"
local core = require "tidegate._core.core"
local tasks = require "tidegate._core.tasks"

local M = {}

--- Compiles a script. Its globals are its own; what it does not define, it finds in the application's environment.
--- @param name string
--- @param source string
--- @param env table
--- @return function? run executes the script to its end
--- @return string? text the error in the caret form
function M.prepare(name, source, env)
  core.print = function(text)
    io.stdout:write(text, "\n")
  end
  source = source:gsub("^#![^\n]*", "--", 1)
  local chunk, err = compile.text(source, name, setmetatable({}, { __index = env }), {})
  if not chunk then
    return nil, caret.render(err, source)
  end
  return function()
    chunk()
    tasks.complete()
  end
end

--- Shows an error of running.
--- @param message string
--- @param place string "file:line", or ""
--- @param sources table<string, string> path -> text
--- @return string text
function M.render(message, place, sources)
  local file, line = place:match("^(.*):(%d+)$")
  if file and message:sub(1, #place + 2) == place .. ": " then
    message = message:sub(#place + 3)
  end
  local err = { message = message, file = file, line = tonumber(line) }
  local source = file and sources[file]
  return caret.render(compile.mark_line(err, source), source)
end

return M
