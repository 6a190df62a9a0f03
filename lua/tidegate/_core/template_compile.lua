-- A template's text -> Lua, one function for it and one for each of its blocks. Used by _core/templates.lua.
--
-- It knows the tags, follows the HTML around them, and says what is wrong where; the Lua code is written by
-- _core/template_unit.lua.

local new_unit = require("tidegate._core.template_unit").new
local html = require("tidegate._pure.html_context")
local lexer = require("tidegate._pure.template_lexer")
local place = require("tidegate._pure.lua_text").place

local M = {}

local match, find, sub = string.match, string.find, string.sub
local Compiler = {}
Compiler.__index = Compiler

-- Ends the compilation with an error at `offset` of the template.
function Compiler:fail(message, offset, stop, note)
  local line, column = place(self.source, offset)
  error({ template_error = { message = message, file = self.path, line = line, column = column,
    end_column = column + math.max(0, (stop or offset) - offset), note = note } }, 0)
end

-- Code of a tag that must be an expression, or the arguments of a call.
function Compiler:check_expression(part, code, at, before, after)
  local _, problem = loadstring(before .. code .. after, "@x")
  if not problem then
    return
  end
  local message = match(problem, "^.-:%d+: (.*)$") or problem
  local token = match(message, "near '(.*)'$")
  local from, to = nil, nil
  if token and token ~= "<eof>" then
    from, to = find(code, token, 1, true)
  end
  local first = find(code, "%S")
  if not first then
    self:fail("an expression is missing", part.offset, part.stop)
  end
  local last = #match(code, "^(.-)%s*$")
  self:fail(message, at + (from or first) - 1, at + (to or last) - 1)
end

function Compiler:text(part)
  local unit = self.unit
  if self.extends then
    if #self.stack == 0 then
      if find(part.text, "%S") then
        self:fail("a template that extends another has its text in blocks", find(self.source, "%S", part.offset))
      end
      return
    end
  end
  if self.escapes then
    local state, problem = html.after_text(unit.state, part.text)
    if not state then
      self:fail(problem, self.last_offset or 1, self.last_stop)
    end
    unit.state = state
  end
  unit:text(part.text)
end

-- `json(x)` -> "json", "x", where the call is all of the code.
local function whole_call(code, bare)
  local name, from, to = match(bare, "^%s*(%l+)%s*()%b()()%s*$")
  if name then
    return name, sub(code, from + 1, to - 2)
  end
end

function Compiler:expression(part)
  local code, at, kind = part.code, part.at, part.kind
  local unit = self.unit
  local call, inner = whole_call(code, part.bare)
  if call == "raw" then
    kind = "raw"
  elseif call == "super" or call == "include" then
    self:fail(("%s is a statement: {%% %s %%}"):format(call, match(code, "^%s*(.-)%s*$")), part.offset, part.stop)
  end
  self:check_expression(part, code, at, "return ", "")
  self:check_expression(part, code, at, "return (", ")")
  if self.extends and #self.stack == 0 then
    self:fail("a template that extends another has its expressions in blocks", part.offset, part.stop)
  end
  local name = match(code, "^%s*(.-)%s*$"):gsub("%s*\n%s*", " ")
  local letter = "r"
  if kind == "expr" and self.escapes then
    local problem
    letter, problem = html.kind(unit.state, call)
    if not letter then
      self:fail(problem, part.offset, part.stop)
    end
  end
  if self.escapes then
    unit.state = html.after_expr(unit.state)
  end
  code = call == "raw" and inner or call == "url" and letter == "u" and inner or code
  unit:argument(letter, "(" .. code .. ")", part.line, name)
end

-- --- tags ------------------------------------------------------------------------------------------------------------

local NAME = "^%s*([%a_][%w_]*)%s*$"
local QUOTED = "^%s*([\"'])([^\"'\\\n]+)%1%s*()"

local tags = {}

function tags.extends(self, part, rest)
  local _, name, after = match(rest, QUOTED)
  if not name or find(rest, "%S", after) then
    self:fail('extends takes a name in quotes: {% extends "layout" %}', part.offset, part.stop)
  elseif self.begun then
    self:fail("extends stands at the beginning of a template", part.offset, part.stop)
  end
  self.extends = name
  self.parent = self.find_parent(name, function(message)
    self:fail(message, part.offset, part.stop)
  end)
end

function tags.block(self, part, rest)
  local name = match(rest, NAME)
  if not name then
    self:fail("block takes a name: {% block content %}", part.offset, part.stop)
  elseif self.blocks[name] then
    self:fail(("the block '%s' is there twice"):format(name), part.offset, part.stop)
  elseif self.extends and #self.stack == 0 and not self.parent.states[name] then
    local names = require("tidegate._pure.sorted_keys")(self.parent.states)
    local hint = require("tidegate._pure.suggest").phrase(name, names)
    self:fail(("'%s' has no block '%s'%s"):format(self.extends, name, hint), part.offset, part.stop)
  end
  local outer = self.unit
  outer:flush()
  outer:emit(("__c.block(__c,%q,1) "):format(name), part.line)
  local inherited = self.extends and self.parent.states[name]
  local unit = new_unit(name, inherited or outer.state)
  self.blocks[name], self.states[name] = unit, unit.began
  self.stack[#self.stack + 1] = { unit = outer, part = part }
  self.unit = unit
end

function tags.endblock(self, part, rest)
  local top = table.remove(self.stack)
  local unit = self.unit
  if not top then
    self:fail("endblock without a block", part.offset, part.stop)
  elseif find(rest, "%S") and match(rest, NAME) ~= unit.name then
    self:fail(("endblock of the block '%s'"):format(unit.name), part.offset, part.stop)
  elseif self.escapes and not html.alike(unit.began, unit.state) then
    local words = ("the block begins %s and ends %s"):format(html.words(unit.began), html.words(unit.state))
    self:fail(words, part.offset, part.stop)
  end
  self.unit = top.unit
  self.unit.state = html.after_part(self.unit.state)
end

function tags.super(self, part, rest)
  if find(rest, "%S") or #self.stack == 0 then
    self:fail("super stands in a block, by itself", part.offset, part.stop)
  end
  self.unit:flush()
  self.unit:emit(("__c.block(__c,%q,__l+1) "):format(self.unit.name), part.line)
  self.unit.state = html.after_part(self.unit.state)
end

function tags.include(self, part, rest, at)
  self:check_expression(part, rest, at, "return f(", ")")
  local _, name, after = match(rest, QUOTED)
  if name and (after > #rest or sub(rest, after, after) == ",") then
    self.includes[#self.includes + 1] = { name = name, offset = part.offset, stop = part.stop }
  end
  local mode = self.escapes and self.unit.state.mode
  if mode and mode ~= "text" and mode ~= "rcdata" then
    self:fail("an include stands in text, not " .. html.words(self.unit.state), part.offset, part.stop)
  end
  self.unit:flush()
  self.unit:emit("__c.include(__c," .. rest .. ") ", part.line)
end

-- --- statements ------------------------------------------------------------------------------------------------------

local OPENS = { ["if"] = 1, ["do"] = 1, ["function"] = 1, ["repeat"] = 1, ["end"] = -1, ["until"] = -1 }

-- Branches of an `if` begin where it does, and what it opens ends where it began.
function Compiler:follow(part)
  local unit = self.unit
  local levels, change = unit.levels, 0
  for word in part.bare:gmatch("[%a_][%w_]*") do
    change = change + (OPENS[word] or 0)
  end
  local first = match(part.bare, "^%s*([%a_]+)")
  local top = levels[#levels]
  if (first == "else" or first == "elseif") and top then
    top.ends[#top.ends + 1] = unit.state
    top.has_else = top.has_else or first == "else"
    unit.state = top.state
  end
  for _ = 1, change do
    levels[#levels + 1] = { state = unit.state, ends = {}, again = first ~= "if" }
  end
  for _ = 1, -change do
    top = table.remove(levels)
    if not top then
      return
    end
    local ends = top.ends
    ends[#ends + 1] = not (top.has_else) and top.state or nil
    if top.again and html.joins_url(top.state, unit.state) then
      self:fail("a URL begins with one expression: {{ a .. b }}", part.offset, part.stop)
    end
    for _, state in ipairs(ends) do
      if not html.alike(state, unit.state) then
        self:fail(("one way to this place ends %s, another %s"):format(html.words(state), html.words(unit.state)),
          part.offset, part.stop)
      end
      unit.state = html.merge(unit.state, state)
    end
  end
end

-- A tag of ours, its arguments and where they begin; parentheses around these are left out. A Lua statement may begin
-- with the same name: an assignment, a method.
local function tag_of(part)
  local word, from = match(part.code, "^%s*([%a_][%w_]*)()")
  if not tags[word] or find(part.code, "^%s*[=.:,]", from) then
    return nil
  end
  local first, last = match(part.bare, "^%s*()%b()()%s*$", from)
  if first then
    return tags[word], sub(part.code, first + 1, last - 2), part.at + first
  end
  return tags[word], sub(part.code, from), part.at + from - 1
end

function Compiler:statement(part)
  local tag, rest, at = tag_of(part)
  if tag then
    return tag(self, part, rest, at)
  elseif self.extends and #self.stack == 0 then
    self:fail("a template that extends another has its statements in blocks", part.offset, part.stop)
  end
  if self.escapes then
    self:follow(part)
  end
  self.unit:flush()
  self.unit:emit(part.code .. " ", part.line)
end

-- --- the end ---------------------------------------------------------------------------------------------------------

-- An error of the compiler of Lua, which knows the line; the token is looked for in the tags of that line.
function Compiler:fail_lua(problem)
  local line, message = match(problem, "^.-:(%d+): (.*)$")
  line = tonumber(line) or 1
  local opened = message and match(message, "%(to close '.-' at line (%d+)%)")
  if opened and find(message, "<eof>", 1, true) then
    line = tonumber(opened)
  end
  local word = match(message or "", "near '(.*)'$")
  local best
  for _, part in ipairs(self.parts) do
    if part.kind == "code" and part.line <= line then
      local same = part.line == line
      local at = word and same and find(part.code, word, 1, true)
      if not best or same and (at or not best.same) then
        best = { part = part, same = same, at = at }
      end
      if not same then
        best = { part = part }
      end
    end
  end
  if not best then
    self:fail(message or problem, 1)
  elseif best.at then
    self:fail(message, best.part.at + best.at - 1, best.part.at + best.at + #word - 2)
  end
  self:fail(message or problem, best.part.offset, best.part.stop)
end

-- The unit's bytecode.
function Compiler:finish(unit)
  local bytecode, problem, lua_problem = unit:finish(self.path)
  if lua_problem then
    self:fail_lua(lua_problem)
  elseif problem then
    self:fail(problem, 1)
  end
  return bytecode
end

function Compiler:run()
  for _, part in ipairs(self.parts) do
    if part.kind == "text" then
      self.begun = self.begun or find(part.text, "%S") ~= nil
      self:text(part)
    else
      if part.kind == "code" then
        self:statement(part)
      else
        self:expression(part)
      end
      self.begun = true
      self.last_offset, self.last_stop = part.offset, part.stop
    end
  end
  local open = self.stack[#self.stack]
  if open then
    self:fail(("the block '%s' has no endblock"):format(self.unit.name), open.part.offset, open.part.stop)
  end
end

--- @class tidegate.CompiledTemplate
--- @field main string bytecode
--- @field blocks table<string, string> bytecode
--- @field extends string?
--- @field states table<string, tidegate.HtmlState> where blocks stand, those of the templates that it extends, too
--- @field includes { name: string, offset: integer, stop: integer }[] whose names are literals
--- @field escapes boolean

--- @param source string
--- @param path string "templates/page.html"
--- @param escapes boolean is it HTML?
--- @param find_parent fun(name: string, bad: fun(message: string?)): tidegate.CompiledTemplate nothing to say: the
--- parent's own errors were told
--- @return tidegate.CompiledTemplate?
--- @return tidegate.LoadError? without a message where there is nothing to say
function M.compile(source, path, escapes, find_parent)
  local self = setmetatable({ source = source, path = path, escapes = escapes, find_parent = find_parent, blocks = {},
    states = {}, includes = {}, stack = {} }, Compiler)
  self.unit = new_unit(nil, html.start)
  local main = self.unit
  local ok, err = pcall(function()
    local parts, problem = lexer.parts(source)
    if not parts then
      self:fail(problem.message, problem.offset, problem.stop)
    end
    self.parts = parts
    self:run()
    local result = { main = self:finish(main), blocks = {}, extends = self.extends, states = self.states,
      includes = self.includes, escapes = escapes }
    for name, unit in pairs(self.blocks) do
      result.blocks[name] = self:finish(unit)
    end
    for name, state in pairs(self.parent and self.parent.states or {}) do
      result.states[name] = result.states[name] or state
    end
    return result
  end)
  if ok then
    return err
  elseif type(err) == "table" and err.template_error then
    return nil, err.template_error
  end
  error(err, 0)
end

return M
