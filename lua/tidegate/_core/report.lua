-- Errors of load_app as text for people and as JSON for programs.

local caret = require "tidegate._pure.caret"
local compile = require "tidegate._core.compile"
local core = require "tidegate._core.core"

--- @param errors tidegate.LoadError[]
--- @param sources table<string, string> path -> text
--- @return string text in the caret form
--- @return string json an array
return function(errors, sources)
  table.sort(errors, function(a, b)
    if (a.file or "") ~= (b.file or "") then
      return (a.file or "") < (b.file or "")
    end
    return (a.line or 0) < (b.line or 0)
  end)
  local text, list = {}, {}
  for i, err in ipairs(errors) do
    local source = err.file and sources[err.file]
    if not err.column then
      compile.mark_line(err, source)
    end
    text[i] = caret.render(err, source)
    list[i] = {
      message = err.message, file = err.file, line = err.line, column = err.column,
      end_column = err.end_column, note = err.note,
    }
  end
  local json = core.open("json")
  return table.concat(text, "\n"), json.encode(json.array(list))
end
