-- Source text -> function, and errors of compiling and of running -> what _pure/caret.lua shows. Used by _core/app.lua.

local M = {}

local our_chunk = "^@?lua/tidegate/"

local function line_of(source, number)
  local at = 1
  for line in (source .. "\n"):gmatch("(.-)\r?\n") do
    if at == number then
      return line
    end
    at = at + 1
  end
end

-- Marks a whole line, its blanks at both ends left out.
local function mark_line(err, source)
  local line = source and err.line and line_of(source, err.line)
  if line then
    local first, last = line:find("%S.*%S")
    first, last = first or line:find("%S"), last or first or line:find("%S")
    err.column, err.end_column = first or 1, last or 1
  end
  return err
end

-- The compiler names a line and the token it stopped at, no column. The token's right place is the first one such
-- that the text up to its end fails in the same way.
local function find_token(source, name, line_number, message)
  local token = message:match("near '(.*)'$")
  local line = line_of(source, line_number)
  if not line then
    return nil
  elseif not token or token == "<eof>" then
    return math.max(1, #line:gsub("%s+$", "")) + (token and 1 or 0)
  end
  local before = 0
  for _ = 1, line_number - 1 do
    before = source:find("\n", before + 1, true)
  end
  local from, fallback = 1, nil
  while true do
    local first, last = line:find(token, from, true)
    if not first then
      return fallback and fallback, fallback and fallback + #token - 1
    end
    local word_ends = not (token:find("^[%w_]") and (line:sub(first - 1, first - 1):find("[%w_]")
      or line:sub(last + 1, last + 1):find("[%w_]")))
    if word_ends then
      fallback = first
      local _, problem = loadstring(source:sub(1, before + last), "@" .. name)
      if problem and problem:find(message, 1, true) then
        return first, last
      end
    end
    from = first + 1
  end
end

local function syntax_error(source, name, problem)
  local file, line, message = problem:match("^(.-):(%d+): (.*)$")
  local err = { message = message or problem, file = name, line = tonumber(line) or 1 }
  if file and message then
    err.column, err.end_column = find_token(source, name, err.line, message)
    if err.column and not err.end_column then
      err.end_column = err.column
    end
  end
  return err.column and err or mark_line(err, source)
end

local writes, reads = {}, {} -- opcodes of globals, each learnt from a chunk that does nothing else

local function learn(util, opcodes, text)
  local chunk = loadstring(text)
  for pc = 1, 2 do
    local instruction = util.funcbc(chunk, pc)
    local _, operand = pcall(util.funck, chunk, -(math.floor(instruction / 65536) % 65536) - 1)
    if operand == "x" then
      opcodes[instruction % 256] = true
    end
  end
end

-- The globals of a function and of those inside it: calls `found(name, line)` at each of the opcodes.
local function visit_globals(util, proto, opcodes, found)
  local pc = 1
  while true do
    local instruction = util.funcbc(proto, pc)
    if not instruction then
      break
    end
    if opcodes[instruction % 256] then
      found(util.funck(proto, -(math.floor(instruction / 65536) % 65536) - 1), util.funcinfo(proto, pc).currentline)
    end
    pc = pc + 1
  end
  local index = -1
  while true do
    local constant = util.funck(proto, index)
    if constant == nil then
      break
    elseif type(constant) == "proto" then
      visit_globals(util, constant, opcodes, found)
    end
    index = index - 1
  end
end

-- What a function and those inside it assign to.
local function global_writes(chunk, found)
  local util = require("jit.util")
  if not next(writes) then
    learn(util, writes, "x = 1")
  end
  visit_globals(util, chunk, writes, found)
end

--- The globals that a function and those inside it read or assign to, some of them several times.
--- @param chunk function
--- @param found fun(name: string, line: integer)
function M.globals(chunk, found)
  local util = require("jit.util")
  if not next(reads) then
    learn(util, reads, "x = 1")
    learn(util, reads, "return x")
  end
  visit_globals(util, chunk, reads, found)
end

-- The first assignment to a name of the language, as an error.
local function standard_write(chunk, source, name, standard)
  local err
  global_writes(chunk, function(global, line)
    if standard[global] ~= nil and not err then
      err = mark_line({
        message = ("global_write: '%s' (%s:%d) is part of the language; use a local"):format(global, name, line),
        file = name,
        line = line,
      }, source)
    end
  end)
  return err
end

--- Compiles a text into a function of the application's environment.
--- @param source string
--- @param name string path inside the application
--- @param env table
--- @param standard table names that may not be assigned to
--- @param keys table? the module key_scan, which says of most texts that they assign to none; nil where there are none
--- @return function? chunk
--- @return tidegate.LoadError? err
function M.text(source, name, env, standard, keys)
  if source:byte() == 27 then
    return nil, { message = "bytecode: only source text is loaded", file = name }
  end
  local chunk, problem = loadstring(source, "@" .. name)
  if not chunk then
    return nil, syntax_error(source, name, problem)
  end
  local err = keys and keys.may_assign(source, standard) and standard_write(chunk, source, name, standard)
  if err then
    return nil, err
  end
  return setfenv(chunk, env)
end

-- The first frame of a file of the application above `level`: file and line.
local function user_frame(level, source_of)
  while true do
    local info = debug.getinfo(level, "Sl")
    if not info then
      return nil
    end
    local file = info.source:match("^@(.*)")
    if file and info.currentline > 0 and (source_of(file) or file:find("^lua_modules/")) then
      return file, info.currentline
    end
    level = level + 1
  end
end

-- An error value as text, without running its code.
local function text_of(err)
  if type(err) == "string" then
    return err
  elseif type(err) == "number" then
    return tostring(err)
  elseif type(err) == "table" then
    local code, message = rawget(err, "code"), rawget(err, "message")
    if type(message) == "string" then
      return type(code) == "string" and code .. ": " .. message or message
    end
  end
  return "error value is a " .. type(err)
end

--- The line of the last `return` of a text: where its value comes from.
--- @param source string
--- @return integer line
function M.last_return(source)
  local line, found = 1, 1
  for text in (source .. "\n"):gmatch("(.-)\r?\n") do
    if text:find("%f[%w_]return%f[^%w_]") then
      found = line
    end
    line = line + 1
  end
  return found
end

--- Runs a function protected. On failure, what is to be shown.
--- @param failure table errors that passed through a module (_core/require.lua)
--- @param source_of fun(path: string): string?
--- @param fallback_file string where no line is known
--- @param f function
--- @return boolean ok
--- @return any value or tidegate.LoadError
function M.run(failure, source_of, fallback_file, f, ...)
  local file, line, traceback, raised
  local ok, value, more = xpcall(f, function(err)
    raised = err
    if failure.err ~= nil and rawequal(failure.err, err) then
      traceback = failure.traceback
      if failure.place then
        file, line = failure.place:match("^(.*):(%d+)$")
      end
    else
      file, line = user_frame(3, source_of)
      traceback = debug.traceback("", 2)
    end
    return err
  end, ...)
  if ok then
    return true, value, more
  end
  local message = text_of(raised == nil and value or raised) -- the handler is not run where memory has run out
  local told_file, told_line, rest = message:match("^([^:\n]+%.lua):(%d+): (.*)$")
  if told_file and not told_file:find(our_chunk) then
    file, line, message = told_file, told_line, rest
  elseif told_file then
    message = rest
  end
  local err = {
    message = message,
    file = file or fallback_file,
    line = tonumber(line),
    traceback = traceback and traceback:gsub("^\n", ""),
  }
  local source = source_of(err.file)
  if not err.line and source then
    err.line = M.last_return(source) -- a tail call leaves no frame
  end
  return false, mark_line(err, source)
end

M.mark_line, M.user_frame, M.text_of = mark_line, user_frame, text_of

return M
