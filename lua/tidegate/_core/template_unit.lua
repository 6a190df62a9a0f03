-- One function of a template while its Lua code is written: the template's own, or one of its blocks.
--
-- The code has its lines where the template has them, so that errors and tracebacks name the template's own. What is
-- sent between two statements is one call: `__w(page, spec, ...)`, where the spec has a letter for each argument (t
-- text, e escaped, r raw, u a URL, j JSON in a script) and then, a line each, the expressions, for errors. A name that
-- is no local is one of the data: the function begins with `local name = data.name`.

local compile = require("tidegate._core.compile")

local concat = table.concat

local M = {}

local ARGUMENTS_MAX = 40 -- of one call
local NAMES_MAX = 120 -- Lua has 200 locals a function

local Unit = {}
Unit.__index = Unit

--- @param name string? of a block
--- @param state tidegate.HtmlState where it begins
function M.new(name, state)
  return setmetatable({ name = name, state = state, began = state, out = {}, line = 1, levels = {} }, Unit)
end

-- Code whose line in the template is `line`.
function Unit:emit(code, line)
  if line and line > self.line then
    self.out[#self.out + 1] = ("\n"):rep(line - self.line)
    self.line = line
  end
  self.out[#self.out + 1] = code
  local _, feeds = code:gsub("\n", "\n")
  self.line = self.line + feeds
end

local function literal(text)
  return (("%q"):format(text):gsub("\\\n", "\\n"):gsub("\r", "\\r"))
end

-- Writes the call for what was gathered.
function Unit:flush()
  local run = self.run
  if not run then
    return
  end
  self.run = nil
  local spec = concat(run.kinds) .. "\n" .. concat(run.names, "\n")
  self:emit("__w(__o," .. literal(spec) .. "," .. concat(run.arguments, ",") .. ") ", run.line)
end

--- What is written next, as Lua code; `name` is what errors call it.
--- @param kind string a letter of the spec
--- @param code string
--- @param line integer? of the template; text has none
--- @param name string?
function Unit:argument(kind, code, line, name)
  local run = self.run
  if run and (line and run.line and run.line ~= line or #run.arguments >= ARGUMENTS_MAX) then
    self:flush()
    run = nil
  end
  run = run or { kinds = {}, arguments = {}, names = {} }
  self.run = run
  run.line = run.line or line
  run.kinds[#run.kinds + 1], run.arguments[#run.arguments + 1] = kind, code
  run.names[#run.names + 1] = name
end

--- @param text string sent as it is
function Unit:text(text)
  local run = self.run
  if run and run.kinds[#run.kinds] == "t" then
    run.last = run.last .. text
    run.arguments[#run.arguments] = literal(run.last)
  else
    self:argument("t", literal(text))
    self.run.last = text
  end
end

-- --- names -----------------------------------------------------------------------------------------------------------

-- Names that the unit's code uses and does not declare.
local function names_of(chunk)
  local names, seen = {}, {}
  compile.globals(chunk, function(name)
    if not seen[name] then
      seen[name] = true
      names[#names + 1] = name
    end
  end)
  table.sort(names)
  return names
end

local HEADER = "local __o,__d,__g,__w,__c,__l=... "

local function with_names(names)
  local out = {}
  for i, name in ipairs(names) do
    out[i] = ("local %s=__d.%s if %s==nil then %s=__g.%s end "):format(name, name, name, name, name)
  end
  return HEADER .. concat(out)
end

--- Its code as bytecode, with its names.
--- @param path string of the template
--- @return string? bytecode
--- @return string? problem
--- @return string? lua_problem what the compiler of Lua says
function Unit:finish(path)
  self:flush()
  local code = concat(self.out)
  local chunk, problem = loadstring(HEADER .. code, "@" .. path)
  if not chunk then
    return nil, nil, problem
  end
  local names = names_of(chunk)
  if #names > NAMES_MAX then
    return nil, ("more than %d names of data in one template or block"):format(NAMES_MAX)
  end
  chunk, problem = loadstring(with_names(names) .. code, "@" .. path)
  return chunk and string.dump(chunk), nil, problem
end

return M
