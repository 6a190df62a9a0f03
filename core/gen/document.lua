-- Writes what is said about public functions where they stand into two files:
--   lua/tidegate/_meta/tidegate.lua   types for editors (LuaCATS)
--   docs/reference/api.md             the same for readers
-- from the `---` lines of lua/tidegate/ and the `///` lines of core/bind/ and core/await/.
--
--   luajit core/gen/document.lua           writes them, in the repository that is the working folder
--   luajit core/gen/document.lua --check   only says whether they are up to date
--
-- It fails, and names file and line, where a public function has no comment, where a @param names no parameter, and
-- where a type is used that nobody declares. Which names are public, _core/tg.lua says; what is no function of a file
-- (settings of routes, fields of requests) is written by hand in _meta/contract.lua.

package.path = "core/gen/?.lua;" .. package.path
local comments = require "comments"

local has, has_text = comments.has, comments.has_text
local read_file, list_files = comments.read_file, comments.list_files
local read_lua, read_c, read_table = comments.read_lua, comments.read_c, comments.read_table
local signature, local_name = comments.signature, comments.local_name

local META, PAGE = "lua/tidegate/_meta/tidegate.lua", "docs/reference/api.md"

-- Files of _core that hold methods of public objects, and whose they are where the file does not say it.
local objects = {
  ["lua/tidegate/_core/duplex.lua"] = {},
  ["lua/tidegate/_core/file.lua"] = {},
  ["lua/tidegate/_core/form.lua"] = {},
  ["lua/tidegate/_core/http_response.lua"] = {},
  ["lua/tidegate/_core/parts.lua"] = {},
  ["lua/tidegate/_core/request.lua"] = { request = "tidegate.Request", out = "tidegate.Out" },
  ["lua/tidegate/_core/streams.lua"] = {},
  ["lua/tidegate/_core/test_answer.lua"] = {},
  ["lua/tidegate/_pure/cookie_jar.lua"] = {},
  ["lua/tidegate/_core/tasks.lua"] = { ["core.task_methods"] = "tidegate.Task" },
}

local problems = {}

local function problem(file, line, format, ...)
  problems[#problems + 1] = ("%s:%d: %s"):format(file, line, format:format(...))
end

-- --- checking ----------------------------------------------------------------------------------------------------

local function parameters(item)
  local out = {}
  for name in (item.params or ""):gmatch("[^,%s]+") do
    out[#out + 1] = name
  end
  return out
end

local function check(item, name)
  if not has_text(item.block) and not has(item.block, "type") then
    problem(item.file, item.line, "%s is public and has no comment", name)
  end
  if item.kind ~= "function" then
    return
  end
  local known = {}
  for _, parameter in ipairs(parameters(item)) do
    known[parameter] = true
  end
  for _, line in ipairs(item.block) do
    local parameter = line:match("^@param%s+([%w_.]+)")
    if parameter and not known[parameter] and not known["..."] then
      problem(item.file, item.line, "%s has no parameter '%s'", name, parameter)
    end
  end
end

-- --- what is public ----------------------------------------------------------------------------------------------

local function is_private(name)
  return name:sub(1, 1) == "_"
end

-- Classes and their methods of a file: {class = {block=, items = {}}} in order.
local function classes_of(items, given)
  local list, by_receiver = {}, {}
  for receiver, name in pairs(given or {}) do
    local class = { name = name, block = { "@class " .. name }, items = {}, reopened = true }
    by_receiver[receiver] = class
    list[#list + 1] = class
  end
  table.sort(list, function(a, b) return a.name < b.name end)
  for _, item in ipairs(items) do
    if item.kind == "class" and item.receiver ~= "M" then
      local name = has(item.block, "class"):match("^@class%s+%(?[%w%s]-%)?%s*(tidegate%.[%w_]+)")
        or has(item.block, "class"):match("^@class%s+([%w_.]+)")
      local class = { name = name, block = item.block, items = {}, file = item.file, line = item.line }
      by_receiver[item.receiver] = class
      list[#list + 1] = class
    elseif item.receiver and by_receiver[item.receiver] and item.name and not is_private(item.name) then
      local class = by_receiver[item.receiver]
      class.items[#class.items + 1] = item
      check(item, class.name .. (item.method and ":" or ".") .. item.name)
    end
  end
  return list
end

local function types_of(items)
  local out = {}
  for _, item in ipairs(items) do
    if item.kind == "type" then
      out[#out + 1] = item
    end
  end
  return out
end

local function add_all(to, from)
  for _, item in ipairs(from) do
    to[#to + 1] = item
  end
end

local function by_name(a, b)
  return a.name < b.name
end

-- Awaitables that are functions of tg, and modules of C.
local function collect_c(found, internal, public)
  local functions = {}
  for _, folder in ipairs({ "core/await", "core/bind" }) do
    for _, path in ipairs(list_files(folder, ".c")) do
      for _, block in ipairs(read_c(path)) do
        for _, fn in ipairs(block.functions) do
          functions[fn.name] = { kind = "function", name = fn.name, params = fn.params, block = block.block,
            file = path, line = block.line }
        end
        if block.kind == "MODULE" and not internal[block.name] then
          found.c_modules[#found.c_modules + 1] = block
          if not has_text(block.block) and not has(block.block, "alias") and not has(block.block, "class") then
            problem(path, block.line, "the module tg.%s has no comment", block.name)
          end
        end
      end
    end
  end
  for _, name in ipairs(public) do
    local item = functions[name]
    if item then
      check(item, "tg." .. name)
      found.functions[#found.functions + 1] = item
    else
      problem("core/await/" .. name .. ".c", 1, "tg.%s has no comment with `function tg.%s(...) end`", name, name)
    end
  end
end

-- Classes and types of a file, once.
local function collect_objects(found, path, items)
  if not found.seen[path] then
    found.seen[path] = true
    add_all(found.classes, classes_of(items, objects[path]))
    add_all(found.types, types_of(items))
  end
end

-- Functions of tg that a Lua file provides.
local function collect_provided(found, module, names)
  local path = "lua/" .. module:gsub("%.", "/") .. ".lua"
  local items, own = read_lua(path), {}
  for _, item in ipairs(items) do
    if item.receiver == "M" and item.name then
      own[item.name] = item
    end
  end
  for _, name in ipairs(names) do
    if own[name] then
      check(own[name], "tg." .. name)
      found.functions[#found.functions + 1] = own[name]
    else
      problem(path, 1, "tg.%s is public and has no comment", name)
    end
  end
  collect_objects(found, path, items)
  return path
end

local function collect_module(found, path)
  local items = read_lua(path)
  local module = { name = path:match("([%w_]+)%.lua$"), items = {}, file = path }
  for _, item in ipairs(items) do
    if item.kind == "class" and item.receiver == "M" then
      module.block = item.block
    elseif item.receiver == "M" and item.name and not is_private(item.name) then
      module.items[#module.items + 1] = item
      check(item, "tg." .. module.name .. "." .. item.name)
    end
  end
  module.block = module.block or { "@class tidegate." .. module.name }
  found.modules[#found.modules + 1] = module
  collect_objects(found, path, items)
end

-- Types that something public speaks of; the others are the file's own.
local function used_types(found)
  local spoken = {}
  local function note(block)
    for _, line in ipairs(block) do
      if not line:find("^@class") and not line:find("^@alias") then
        for name in line:gmatch("tidegate%.[%w_]+") do
          spoken[name] = true
        end
      end
    end
  end
  for _, list in ipairs({ found.functions, found.modules, found.classes, found.c_modules, found.types }) do
    for _, item in ipairs(list) do
      note(item.block)
      for _, member in ipairs(item.items or {}) do
        note(member.block)
      end
    end
  end
  local out = {}
  for _, item in ipairs(found.types) do
    item.name = (has(item.block, "class") or has(item.block, "alias")):match("^@%a+%s+([%w_.]+)")
    if spoken[item.name] then
      out[#out + 1] = item
    end
  end
  table.sort(out, by_name)
  return out
end

-- Everything public: functions of tg, modules, classes, types.
local function collect()
  local source = read_file("lua/tidegate/_core/tg.lua")
  local providers = read_table(source, "providers")
  local found = { functions = {}, modules = {}, classes = {}, types = {}, c_modules = {}, seen = {} }
  local modules, provider_files = {}, {}
  for module in pairs(providers) do
    modules[#modules + 1] = module
  end
  table.sort(modules)
  for _, module in ipairs(modules) do
    provider_files[collect_provided(found, module, providers[module])] = true
  end
  collect_c(found, read_table(source, "internal"), read_table(source, "public"))
  for _, path in ipairs(list_files("lua/tidegate", ".lua")) do
    if not provider_files[path] then
      collect_module(found, path)
    end
  end
  for path in pairs(objects) do
    collect_objects(found, path, read_lua(path))
  end
  found.types = used_types(found)
  table.sort(found.functions, by_name)
  table.sort(found.classes, by_name)
  return found
end

-- --- editor types ------------------------------------------------------------------------------------------------

local function put_block(out, block)
  for _, line in ipairs(block) do
    out[#out + 1] = line == "" and "---" or line:find("^@") and "---" .. line or "--- " .. line
  end
end

local function put_member(out, owner, item)
  put_block(out, item.block)
  local described = has(item.block, "param") or has(item.block, "return")
  if item.kind == "field" and (has(item.block, "type") or not described) then
    out[#out + 1] = ("%s.%s = nil"):format(owner, item.name)
  else
    out[#out + 1] = ("function %s%s%s(%s) end"):format(owner, item.method and ":" or ".", item.name, signature(item))
  end
  out[#out + 1] = ""
end

local function write_types(found)
  local out = {
    "---@meta tidegate", "-- Types for editors; never code. Written by core/gen/document.lua from the comments of the",
    "-- functions; what is no function of a file stands in contract.lua.", "", "---@class tidegate", "local tg = {}",
    "",
  }
  for _, item in ipairs(found.types) do
    put_block(out, item.block)
    out[#out + 1] = ""
  end
  for _, module in ipairs(found.c_modules) do
    put_block(out, module.block)
    out[#out + 1] = ""
    out[#out + 1] = "---@type tidegate." .. module.name
    out[#out + 1] = "tg." .. module.name .. " = nil"
    out[#out + 1] = ""
  end
  for _, class in ipairs(found.classes) do
    local name = local_name(class.name)
    out[#out + 1] = "do"
    put_block(out, class.block)
    out[#out + 1] = "local " .. name .. " = {}"
    out[#out + 1] = ""
    for _, item in ipairs(class.items) do
      put_member(out, name, item)
    end
    out[#out] = "end"
    out[#out + 1] = ""
  end
  for _, module in ipairs(found.modules) do
    out[#out + 1] = "do"
    put_block(out, module.block)
    out[#out + 1] = "local " .. module.name .. " = {}"
    out[#out + 1] = ""
    for _, item in ipairs(module.items) do
      put_member(out, module.name, item)
    end
    out[#out + 1] = "tg." .. module.name .. " = " .. module.name
    out[#out + 1] = "end"
    out[#out + 1] = ""
  end
  for _, item in ipairs(found.functions) do
    item.method = false
    put_member(out, "tg", item)
  end
  out[#out + 1] = "return tg"
  return table.concat(out, "\n") .. "\n"
end

-- Every tidegate.X and tg.X that is used as a type is declared somewhere.
local function check_types(text)
  local contract = read_file("lua/tidegate/_meta/contract.lua")
  local known = {}
  for _, source in ipairs({ text, contract }) do
    for name in source:gmatch("%-%-%-@class%s+([%w_.]+)") do
      known[name] = true
    end
    for name in source:gmatch("%-%-%-@alias%s+([%w_.]+)") do
      known[name] = true
    end
  end
  local reported = {}
  for line in text:gmatch("[^\n]+") do
    local tag = line:match("^%-%-%-@(%a+)")
    if tag == "param" or tag == "return" or tag == "field" or tag == "type" then
      for name in line:gmatch("%f[%w_]tidegate%.[%w_]+") do
        if not known[name] and not reported[name] then
          reported[name] = true
          problem(META, 1, "the type %s is used and nowhere declared", name)
        end
      end
    end
  end
end

-- --- the end -----------------------------------------------------------------------------------------------------

local checking = arg[1] == "--check"
local found = collect()
local texts = { [META] = write_types(found), [PAGE] = require("api_page")(found) }
check_types(texts[META])
for _, path in ipairs({ META, PAGE }) do
  local file = io.open(path, "rb")
  local old = file and file:read("*a")
  if file then
    file:close()
  end
  if old ~= texts[path] and checking then
    problem(path, 1, "is out of date; run: luajit core/gen/document.lua")
  elseif old ~= texts[path] then
    local new = assert(io.open(path, "wb"))
    new:write(texts[path])
    new:close()
  end
end
if assert(loadstring(texts[META], "@" .. META)) and problems[1] then
  io.stderr:write(table.concat(problems, "\n"), "\n")
  os.exit(1)
end
