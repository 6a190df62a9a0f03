-- Where strings of a Lua text end, and where in it an offset lies.

local M = {}

local find, byte, match = string.find, string.byte, string.match

local QUOTE = 34

--- The offset after the long bracket that begins at `at`, or nil.
--- @param source string
--- @param at integer
--- @return integer?
function M.after_long(source, at)
  local level = match(source, "^%[(=*)%[", at)
  if not level then
    return nil
  end
  local _, stop = find(source, "]" .. level .. "]", at + #level + 2, true)
  return (stop or #source) + 1
end

--- The offset after the string whose quote stands at `at`.
--- @param source string
--- @param at integer
--- @return integer
function M.after_string(source, at)
  local quote = byte(source, at)
  local stops = quote == QUOTE and '["\\]' or "['\\]"
  local pos = at + 1
  while true do
    pos = find(source, stops, pos)
    if not pos then
      return #source + 1
    elseif byte(source, pos) == quote then
      return pos + 1
    end
    pos = pos + 2
  end
end

--- Line and column (both from 1, in bytes) of an offset.
--- @param source string
--- @param offset integer
--- @return integer line, integer column
function M.place(source, offset)
  local line, start = 1, 1
  while true do
    local feed = find(source, "\n", start, true)
    if not feed or feed >= offset then
      return line, offset - start + 1
    end
    line, start = line + 1, feed + 1
  end
end

return M
