-- The templates of an application: compiled, joined to those that they extend, and run.
--
-- load_app gives the files of templates/ to `load`. The builder's state compiles them and checks what they name; the
-- bytecode that comes out is a Lua chunk which returns what a template is, so that it travels as routes do.

local core = require "tidegate._core.core"
local tg = require "tidegate"

local error, ipairs, loadstring, next, pairs, setfenv, setmetatable, type = error, ipairs, loadstring, next, pairs,
  setfenv, setmetatable, type
local throw = core.error_throw
local markup = core.open("markup")
local write, new_page, take = markup.write, markup.new, markup.take

local M = {}

local DEPTH_MAX = 100 -- includes inside of each other

-- Endings of files whose text is escaped; a name without an ending is such a file, too.
local ESCAPED = { html = true, htm = true, xhtml = true, xml = true, svg = true, rss = true, atom = true }

--- @class tidegate.Loaded
--- @field path string
--- @field main function
--- @field chain table<string, function[]> the functions of each block, the innermost template's first
--- @field escapes boolean
--- @field type string of answers

local loaded = {} -- by path
local known = {} -- by path, also those with errors

local function escapes(path)
  local ending = path:match("%.(%w+)$")
  return not ending or ESCAPED[ending:lower()] or false
end

-- --- names -----------------------------------------------------------------------------------------------------------

local function path_of(files, name)
  local path = "templates/" .. name
  return files[path] and path or files[path .. ".html"] and path .. ".html" or nil
end

local function missing(name, files)
  local names = {}
  for path in pairs(files) do
    names[#names + 1] = path:gsub("^templates/", ""):gsub("%.html$", "")
  end
  table.sort(names)
  local hint = require("tidegate._pure.suggest").phrase(name, names)
  return ("there is no template '%s'%s"):format(name, hint)
end

--- A template by its name.
--- @param name string
--- @return tidegate.Loaded
function M.find(name)
  local path = type(name) == "string" and path_of(loaded, name)
  if not path then
    if type(name) ~= "string" then
      throw("misuse", "the name of a template is a string, not a " .. type(name))
    end
    throw("no_template", missing(name, loaded))
  end
  return loaded[path]
end

-- --- running ---------------------------------------------------------------------------------------------------------

-- What templates find besides the data and the globals of routes.
local helpers = setmetatable({
  json = function(value)
    return markup.json(tg.json.encode(value))
  end,
  url = markup.url,
}, {
  __index = function(_, name)
    return core.env[name]
  end,
})

local run

local function block(context, name, level)
  local fn = context.chain[name] and context.chain[name][level]
  if fn then
    fn(context.page, context.data, helpers, write, context, level)
  end
end

local function inner_data(outer, data)
  if data == nil then
    return outer
  elseif type(data) ~= "table" then
    throw("misuse", "include: a table of data expected, got " .. type(data))
  end
  local inner = setmetatable({}, { __index = outer })
  for key, value in pairs(data) do
    inner[key] = value
  end
  return inner
end

local function include(context, name, data)
  local template = M.find(name)
  if template.escapes ~= context.escapes then
    throw("misuse", ("%s cannot be included here: of the two only one is escaped"):format(template.path))
  elseif context.depth >= DEPTH_MAX then
    throw("include_depth", "includes are nested deeper than " .. DEPTH_MAX)
  end
  run(template, context.page, inner_data(context.data, data), context.depth + 1)
end

function run(template, page, data, depth)
  local context = { page = page, data = data, chain = template.chain, escapes = template.escapes, depth = depth,
    block = block, include = include }
  template.main(page, data, helpers, write, context)
end

local pages, free = {}, 0 -- pages that are empty, to be used again

--- The text that a template makes of the data. ⏸ where the template suspends.
--- @param template tidegate.Loaded
--- @param data table?
--- @return string
function M.text(template, data)
  if data == nil then
    data = {}
  elseif type(data) ~= "table" then
    throw("misuse", ("the data of a template is a table, not a %s"):format(type(data)))
  end
  local page
  if free > 0 then
    page, free = pages[free], free - 1
  else
    page = new_page()
  end
  run(template, page, data, 0)
  local text = take(page)
  free = free + 1
  pages[free] = page
  return text
end

-- --- loading ---------------------------------------------------------------------------------------------------------

local function load_function(bytecode, path)
  return setfenv(loadstring(bytecode, "@" .. path), core.env)
end

local function type_of(path)
  return path:find("%.%w+$") and markup.type(path) or "text/html; charset=utf-8"
end

-- What a compiled template is, joined to its parent.
local function join(compiled, path, parent)
  local template = { path = path, escapes = compiled.escapes, chain = {}, type = type_of(path) }
  template.main = parent and parent.main or load_function(compiled.main, path)
  for name, bytecode in pairs(compiled.blocks) do
    template.chain[name] = { load_function(bytecode, path) }
  end
  for name, functions in pairs(parent and parent.chain or {}) do
    local own = template.chain[name] or {}
    for _, fn in ipairs(functions) do
      own[#own + 1] = fn
    end
    template.chain[name] = own
  end
  return template
end

-- As a Lua chunk, for the other states.
local function pack(compiled)
  local out = { ("return { escapes = %s, extends = %s, main = %q, blocks = {"):format(tostring(compiled.escapes),
    compiled.extends and ("%q"):format(compiled.extends) or "nil", compiled.main) }
  for _, name in ipairs(require("tidegate._pure.sorted_keys")(compiled.blocks)) do
    out[#out + 1] = ("%s = %q,"):format(name, compiled.blocks[name])
  end
  out[#out + 1] = "} }"
  return string.dump(loadstring(table.concat(out), "=template"))
end

-- Compiles what has sources, those that are extended first. `bad` is told what is wrong.
local function compile_all(files, bad)
  local compile = require("tidegate._core.template_compile").compile
  local done, under_way = {}, {}
  local function compile_one(path)
    if done[path] ~= nil then
      return done[path]
    end
    under_way[path] = true
    local compiled, problem = compile(files[path].source, path, escapes(path), function(name, fail)
      local parent = path_of(files, name)
      if not parent then
        fail(missing(name, files))
      elseif under_way[parent] then
        fail(("'%s' extends itself"):format(name))
      elseif escapes(parent) ~= escapes(path) then
        fail(("'%s' cannot be extended here: of the two only one is escaped"):format(name))
      end
      local made = compile_one(parent)
      if not made then
        fail() -- they were told
      end
      return made
    end)
    under_way[path] = nil
    if problem and problem.message then
      bad(problem)
    end
    done[path] = compiled or false
    return compiled
  end
  for _, path in ipairs(require("tidegate._pure.sorted_keys")(files)) do
    local compiled = compile_one(path)
    for _, row in ipairs(compiled and compiled.includes or {}) do
      if not path_of(files, row.name) then
        bad({ message = missing(row.name, files), file = path, offset = row.offset, stop = row.stop })
      end
    end
  end
  return done
end

--- Takes the files of templates/ in place of what was there.
--- @param files table<string, { source: string?, chunk: function? }> by path; the chunk is what a bytecode is loaded as
--- @param bad fun(err: tidegate.LoadError) with `offset` and `stop` in the file in place of line and column
--- @return table<string, string> compiled bytecode by path, of what had a source
function M.load(files, bad)
  local made, bytecodes = {}, {}
  loaded, known = {}, {}
  if next(files) == nil then
    return bytecodes
  end
  local sources = {}
  for path, file in pairs(files) do
    known[path] = true
    if file.source then
      sources[path] = file
    else
      made[path] = file.chunk()
    end
  end
  for path, compiled in pairs(next(sources) and compile_all(sources, bad) or {}) do
    made[path] = compiled or nil
    bytecodes[path] = compiled and pack(compiled) or nil
  end
  local function join_one(path)
    if not loaded[path] then
      local compiled = made[path]
      local parent = compiled.extends and path_of(made, compiled.extends)
      loaded[path] = join(compiled, path, parent and join_one(parent))
    end
    return loaded[path]
  end
  for path in pairs(made) do
    join_one(path)
  end
  return bytecodes
end

--- Is there a file of that name? Else why not.
--- @param name string
--- @return string? problem
function M.problem(name)
  return not path_of(known, name) and missing(name, known) or nil
end

--- A template of a text. What it includes are templates of the application.
--- @param source string
--- @param name string
--- @return tidegate.Loaded
function M.of_string(source, name)
  local compile = require("tidegate._core.template_compile").compile
  local compiled, problem = compile(source, name, escapes(name), function(_, fail)
    fail("the template of a text cannot extend another")
  end)
  if problem then
    error(core.error_new("bad_template", problem.message, { place = ("%s:%d"):format(name, problem.line) }), 0)
  end
  return join(compiled, name)
end

return M
