-- tg.template: HTML from the files of templates/. What a template is, _core/templates.lua knows.

local core = require "tidegate._core.core"
local templates = require "tidegate._core.templates"
local tg = require "tidegate"

local type = type
local throw = core.error_throw

--- HTML and other texts, made of templates with data. The files of `templates/` are compiled once a generation.
--- @class tidegate.template
local M = {}

--- A template.
--- @class tidegate.Template
--- @field path string of its file
local Template = {}
Template.__index = Template

local function answer(loaded, data, opts)
  local text = templates.text(loaded, data)
  return tg.bytes(text, opts and opts.type or loaded.type, opts)
end

--- An answer made by a template: `page` is the file templates/page.html. Raises `no_template` where there is none.
--- It suspends where the template does.
--- @param name string
--- @param data? table what the template knows by name
--- @param opts? {status: integer, headers: table, type: string}
function M.render(name, data, opts)
  local loaded = templates.find(name)
  return answer(loaded, data, opts)
end

--- The text that a template makes, for a mail or a part of a page. It suspends where the template does.
--- @param name string
--- @param data? table
--- @return string
function M.text(name, data)
  local loaded = templates.find(name)
  return templates.text(loaded, data)
end

local function object(loaded)
  return setmetatable({ path = loaded.path, loaded = loaded }, Template)
end

--- A template by its name, to be used again and again.
--- @param name string
--- @return tidegate.Template
function M.get(name)
  return object(templates.find(name))
end

--- A template of a text of yours; never of what a client has sent: a template runs Lua. It can include templates of the
--- application. Raises `bad_template` with the line where it is malformed.
--- @param source string
--- @param name? string what errors call it; "text.html" where it is not given. Its ending says whether it is escaped
--- @return tidegate.Template
function M.string(source, name)
  if type(source) ~= "string" then
    throw("misuse", "tg.template.string: a string expected, got " .. type(source))
  end
  return object(templates.of_string(source, name or "text.html"))
end

--- An answer made by this template. It suspends where the template does.
--- @param data? table
--- @param opts? {status: integer, headers: table, type: string}
function Template:render(data, opts)
  return answer(self.loaded, data, opts)
end

--- The text that this template makes. It suspends where the template does.
--- @param data? table
--- @return string
function Template:text(data)
  return templates.text(self.loaded, data)
end

return M
