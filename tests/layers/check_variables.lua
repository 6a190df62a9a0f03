-- Refuses mutable variables of file scope (and static ones inside functions) outside core/app: everything hangs from
-- the loop, worker or process structure. Asks objdump for the data symbols of the library, built without sanitizers:
--   luajit check_variables.lua LIBRARY
-- An object of core/app/x.c is recognised by its source name in the tree.

local library = assert(arg[1], "usage: check_variables.lua LIBRARY")

-- Object names in an archive carry no folder, so that a name that also stands in app/ cannot be judged by it.
local app_objects, elsewhere = {}, {}
local files = assert(io.popen("find core -name '*.c'"))
for path in files:lines() do
  local object = path:match("([^/]+)$") .. ".o"
  if path:match("^core/app/") then
    app_objects[object] = true
  else
    elsewhere[object] = true
  end
end
files:close()

local violations, symbols, object = 0, 0, "?"
local dump = assert(io.popen("objdump -t '" .. library .. "' 2>/dev/null"))
for line in dump:lines() do
  object = line:match("^(%S+%.o):%s") or object
  -- value, seven flags (d: the section itself or a file), section, size, name
  local section, name = line:match("^%x+ .....[^d]. ?(%.%S+)%s+%x+%s+(%S+)$")
  if section then
    symbols = symbols + 1
    -- .data.rel.ro is constant: tables of pointers that only the linker fills in.
    local is_mutable = section:match("^%.t?data") or section:match("^%.t?bss")
    if is_mutable and not section:match("^%.data%.rel%.ro") and not app_objects[object] then
      violations = violations + 1
      io.stderr:write(("%s: mutable variable %s outside app/\n"):format(object, name))
    end
  end
end
dump:close()

for name in pairs(app_objects) do
  if elsewhere[name] then
    violations = violations + 1
    io.stderr:write(name, ": a file of this name stands in app/ and elsewhere; rename one\n")
  end
end
if symbols == 0 then
  io.stderr:write("check_variables.lua: no symbols in ", library, "\n")
  os.exit(1)
end
print(("%d symbols, %d violations"):format(symbols, violations))
os.exit(violations == 0 and 0 or 1)
