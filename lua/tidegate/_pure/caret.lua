-- Shows an error in its source:
--
--   error: ')' expected (to close '(' at line 3) near 'end'
--    --> routes/users.lua:4:3
--     3 |     return tg.json({ ok = true }
--     4 |   end
--       |   ^^^

local mask = require "tidegate._pure.mask"

local M = {}

local LINE_MAX = 160 -- bytes of a source line that are shown

-- Lines `first` to `last` of a text, by number.
local function lines_of(source, first, last)
  local out, number = {}, 1
  for line in (source .. "\n"):gmatch("(.-)\r?\n") do
    if number >= first then
      out[number] = line
    end
    if number == last then
      break
    end
    number = number + 1
  end
  return out
end

-- Control bytes would move the caret or the terminal.
local function plain(line)
  return (line:gsub("\t", " "):gsub("[%z\1-\31\127]", "?"))
end

-- Further lines of a message stand below its first one, indented.
local function indented(text)
  return (text:gsub("[\r\n]+[ \t]*", "\n       "):gsub("\t", " "):gsub("[%z\1-\9\11-\31\127]", "?"))
end

--- @class tidegate.LoadError
--- @field message string
--- @field file string?
--- @field line integer?
--- @field column integer?
--- @field end_column integer? the last byte that is marked
--- @field note string? further lines
--- @field traceback string?

--- @param err tidegate.LoadError
--- @param source string? the text of err.file
--- @return string text ends with a line feed
function M.render(err, source)
  local out = { "error: " .. indented(err.message) }
  if err.file then
    local place = err.file
    if err.line then
      place = place .. ":" .. err.line .. (err.column and ":" .. err.column or "")
    end
    out[#out + 1] = " --> " .. place
  end
  if source and err.line then
    local width = math.max(3, #tostring(err.line) + 1)
    local lines = lines_of(mask.secrets(source), math.max(1, err.line - 1), err.line)
    for number = math.max(1, err.line - 1), err.line do
      if lines[number] then
        out[#out + 1] = ("%" .. width .. "d | %s"):format(number, plain(lines[number]):sub(1, LINE_MAX))
      end
    end
    if lines[err.line] and err.column and err.column <= LINE_MAX then
      local length = math.max(1, math.min(err.end_column or err.column, LINE_MAX) - err.column + 1)
      out[#out + 1] = (" "):rep(width) .. " | " .. (" "):rep(err.column - 1) .. ("^"):rep(length)
    end
  end
  if err.note then
    for line in (err.note .. "\n"):gmatch("(.-)\n") do
      out[#out + 1] = line == "" and "  =" or "  = " .. line
    end
  end
  return table.concat(out, "\n") .. "\n"
end

return M
