-- One load of an application: what is known of its files, running them, and what was found wrong. What the files say is
-- for app.lua, which adds to this class.

local caret_place = require("tidegate._pure.lua_text").place
local compile = require("tidegate._core.compile")

local Load = {}
Load.__index = Load

function Load:add(err)
  local id = ("%s:%s:%s"):format(tostring(err.file), tostring(err.line), err.message)
  if not self.seen[id] then
    self.seen[id] = true
    self.errors[#self.errors + 1] = err
  end
end

function Load:before_step()
  if self.calls.await then
    self.calls.await()
  end
end

-- A file with an error is not told of: nobody else runs it, nor what comes behind it.
function Load:after_step()
  if self.calls.done and #self.errors == 0 then
    self.calls.done()
  end
end

function Load:source_of(path)
  local file = self.by_path[path]
  return file and file.source
end

-- Line, column and end column of a key, as fields of `out`. Of no use where only bytecode is there.
function Load:locate(file, keys, out)
  local offset, stop
  if keys and file.source then
    offset, stop = self.keys.lookup(file.source, keys)
  end
  if offset then
    out.line, out.column = caret_place(file.source, offset)
    out.end_column = out.column + stop - offset
  end
  return offset ~= nil
end

-- The `bad` of one file: an error at a key, or at the file's last return.
function Load:reporter(file)
  return function(message, keys, note)
    local err = { message = message, file = file.path, note = note }
    if not self:locate(file, keys, err) and file.source then
      err.line = compile.last_return(file.source)
      compile.mark_line(err, file.source)
    end
    self:add(err)
  end
end

function Load:compile(file)
  local chunk, err
  if file.source then
    chunk, err = compile.text(file.source, file.path, self.env, self.standard, self.keys)
    if err then
      self:add(err)
      return nil, ("%s:%d: %s"):format(err.file, err.line or 1, err.message)
    end
    self.calls.keep(file.index, chunk)
    return chunk
  end
  local problem
  chunk, problem = self.calls.load(file.index)
  if not chunk then
    self:add({ message = problem, file = file.path })
    return nil, problem
  end
  return setfenv(chunk, self.env)
end

-- Runs a file; its value, or nil with `false`.
function Load:run(file)
  local chunk = self:compile(file)
  if not chunk then
    return nil, false
  end
  local ok, value = compile.run(self.failure, function(path)
    return self:source_of(path)
  end, file.path, chunk)
  if not ok then
    self:add(value)
    return nil, false
  end
  self:report_doubles(file)
  return value, true
end

function Load:report_doubles(file)
  for _, double in ipairs(file.source and self.keys.doubles(file.source) or {}) do
    local err = { message = ("'%s' is written twice in one table"):format(double.name), file = file.path }
    err.line, err.column = caret_place(file.source, double.offset)
    err.end_column = err.column + double.stop - double.offset
    err.note = ("first at line %d"):format((caret_place(file.source, double.first)))
    self:add(err)
  end
end

return Load
