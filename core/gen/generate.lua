-- Writes, at build time, what would otherwise be kept in step by hand:
--   registry.c       the tables of TG_MODULE and TG_AWAITABLE (core/script/module.h)
--   lua_blobs.c      every Lua file of lua/tidegate/, compiled, under its real chunk name
--   assets.c         every file of lua/tidegate/_assets/, as it is
-- Run by core/gen/generate.cmake with the freshly built luajit, so that the bytecode fits the library:
--   luajit generate.lua SOURCE_DIR OUTPUT_DIR bytecode|source
-- The input files are the lines of OUTPUT_DIR/inputs.txt. It fails the build on a Lua file that does
-- not compile and on a name given twice. A bind/ or await/ file without its macro line is only a part of its folder.

local source_dir, output_dir, blob_kind = arg[1], arg[2], arg[3]

local function fail(format, ...)
  io.stderr:write("generate.lua: ", format:format(...), "\n")
  os.exit(1)
end

local function read_file(path)
  local file = io.open(path, "rb") or fail("cannot read %s", path)
  local text = file:read("*a")
  file:close()
  return text
end

-- An unchanged file keeps its time stamp, so that nothing that depends on it is built again.
local function write_file(name, text)
  local path = output_dir .. "/" .. name
  local old = io.open(path, "rb")
  if old then
    local same = old:read("*a") == text
    old:close()
    if same then
      return
    end
  end
  local file = io.open(path, "wb") or fail("cannot write %s", path)
  file:write(text)
  file:close()
end

-- Input paths relative to the source directory, by their first folders.
local function list_inputs()
  local inputs = { bind = {}, await = {}, lua = {}, assets = {} }
  for line in io.lines(output_dir .. "/inputs.txt") do
    if line ~= "" then
      local path = line:sub(#source_dir + 2)
      local kind = path:match("^core/(%l+)/") or path:match("^lua/tidegate/_(assets)/")
        or path:match("^(lua)/tidegate/") or fail("unexpected input %s", path)
      table.insert(inputs[kind], path)
    end
  end
  for _, paths in pairs(inputs) do
    table.sort(paths)
  end
  return inputs
end

-- The names that a folder's files declare with `macro`, sorted.
local function scan_names(paths, macro)
  local names, home = {}, {}
  for _, path in ipairs(paths) do
    for name in ("\n" .. read_file(source_dir .. "/" .. path)):gmatch("\n" .. macro .. "%(([%a_][%w_]*)%)") do
      if home[name] then
        fail("%s(%s) stands in %s and in %s", macro, name, home[name], path)
      end
      home[name] = path
      names[#names + 1] = name
    end
  end
  table.sort(names)
  return names
end

local function registry_table(out, table_name, prefix, names)
  for _, name in ipairs(names) do
    out[#out + 1] = ("int %s%s(struct lua_State *L);"):format(prefix, name)
  end
  out[#out + 1] = ""
  out[#out + 1] = ("const struct tg_registry_entry %s[] = {"):format(table_name)
  for _, name in ipairs(names) do
    out[#out + 1] = ('  {"%s", %s%s},'):format(name, prefix, name)
  end
  out[#out + 1] = "  {NULL, NULL},"
  out[#out + 1] = "};"
  out[#out + 1] = ""
end

local function generate_registry(inputs)
  local out = { "/* Written by core/gen/generate.lua. */", '#include "script/module.h"', "" }
  registry_table(out, "tg_registry_modules", "tg_open_", scan_names(inputs.bind, "TG_MODULE"))
  registry_table(out, "tg_registry_awaitables", "tg_await_", scan_names(inputs.await, "TG_AWAITABLE"))
  write_file("registry.c", table.concat(out, "\n"))
end

local function c_bytes(bytes)
  local lines = {}
  for start = 1, #bytes, 24 do
    local cells = { bytes:byte(start, start + 23) }
    lines[#lines + 1] = "  " .. table.concat(cells, ",") .. ","
  end
  return table.concat(lines, "\n")
end

local function generate_blobs(inputs)
  local out = { "/* Written by core/gen/generate.lua. */", '#include "script/module.h"', "" }
  local rows = {}
  for index, path in ipairs(inputs.lua) do
    local name = path:gsub("^lua/", ""):gsub("%.lua$", ""):gsub("/init$", ""):gsub("/", ".")
    local bytes = read_file(source_dir .. "/" .. path)
    local chunk, problem = loadstring(bytes, "@" .. path)
    if not chunk then
      fail("%s", problem)
    end
    if blob_kind == "bytecode" then
      bytes = string.dump(chunk) -- not stripped: tracebacks show lines and names
    end
    -- A final zero keeps an empty file legal C; it is not counted.
    out[#out + 1] = ("static const unsigned char blob_%d[] = {\n%s\n  0};"):format(index, c_bytes(bytes))
    rows[#rows + 1] = ('  {"%s", "@%s", blob_%d, %d, %s},'):format(
      name, path, index, #bytes, tostring(blob_kind == "bytecode"))
  end
  out[#out + 1] = "\nconst struct tg_blob tg_blobs[] = {"
  out[#out + 1] = table.concat(rows, "\n")
  out[#out + 1] = "  {NULL, NULL, NULL, 0, false},\n};\n"
  write_file("lua_blobs.c", table.concat(out, "\n"))
end

-- FNV-1a, 64 bits: what the address of an asset changes by when its bytes do.
local function hash(bytes)
  local sum = 0xcbf29ce484222325ULL
  for index = 1, #bytes do
    sum = bit.bxor(sum, 0ULL + bytes:byte(index)) * 0x100000001b3ULL
  end
  return bit.tohex(sum)
end

-- "swagger-ui/swagger-ui.css.gz" is the asset "swagger-ui/swagger-ui.css", compressed.
local function generate_assets(inputs)
  local out = { "/* Written by core/gen/generate.lua. */", '#include "script/module.h"', "" }
  local rows = {}
  for index, path in ipairs(inputs.assets) do
    local name, bytes = path:gsub("^lua/tidegate/_assets/", ""), read_file(source_dir .. "/" .. path)
    local plain = name:gsub("%.gz$", "")
    out[#out + 1] = ("static const unsigned char asset_%d[] = {\n%s\n  0};"):format(index, c_bytes(bytes))
    rows[#rows + 1] = ('  {"%s", "%s", asset_%d, %d, %s},'):format(
      plain, hash(bytes), index, #bytes, tostring(plain ~= name))
  end
  out[#out + 1] = "\nconst struct tg_asset tg_assets[] = {"
  out[#out + 1] = table.concat(rows, "\n")
  out[#out + 1] = "  {NULL, NULL, NULL, 0, false},\n};\n"
  write_file("assets.c", table.concat(out, "\n"))
end

local inputs = list_inputs()
generate_registry(inputs)
generate_blobs(inputs)
generate_assets(inputs)
