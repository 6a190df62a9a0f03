-- A template's text -> its parts: what is sent as it stands, and what stands between {{ }}, {% %} and {# #}.
--
-- What stands in a tag is Lua: strings, comments and braces of it are known, so that "}}" in a string ends nothing.
-- Comments are blanked out, so that the code can be put on one line with other code.

local lua_text = require("tidegate._pure.lua_text")

local M = {}

local find, sub, match, byte = string.find, string.sub, string.match, string.byte
local after_long, after_string = lua_text.after_long, lua_text.after_string

--- @class tidegate.TemplatePart
--- @field kind "text"|"expr"|"raw"|"code"
--- @field text string? of text
--- @field code string? of a tag, comments blanked out
--- @field bare string? the same without strings
--- @field offset integer of its first byte
--- @field at integer offset of the code
--- @field line integer of the tag

local function blank(text)
  return (text:gsub("[^\n]", " "))
end

-- Where the tag's `close` stands, from `at` on, and its code with comments and strings blanked out.
local function scan_code(source, at, close)
  local code, bare, depth, pos, from = {}, {}, 0, at, at
  local function skip(stop, is_comment)
    local before, here = sub(source, from, pos - 1), sub(source, pos, stop - 1)
    code[#code + 1] = before .. (is_comment and blank(here) or here)
    bare[#bare + 1] = before .. blank(here)
    pos, from = stop, stop
  end
  while true do
    pos = find(source, "[\"'%-%[{}%%]", pos)
    if not pos then
      return nil
    elseif depth == 0 and sub(source, pos, pos + #close - 1) == close then
      code[#code + 1], bare[#bare + 1] = sub(source, from, pos - 1), sub(source, from, pos - 1)
      return pos, table.concat(code), table.concat(bare)
    end
    local c = sub(source, pos, pos)
    if c == '"' or c == "'" then
      skip(after_string(source, pos))
    elseif c == "[" and after_long(source, pos) then
      skip(after_long(source, pos))
    elseif c == "-" and sub(source, pos, pos + 1) == "--" then
      local feed = find(source, "\n", pos, true) or #source + 1
      local stop = find(source, close, pos, true) or feed
      skip(after_long(source, pos + 2) or math.min(feed, stop), true)
    else
      depth = depth + (c == "{" and 1 or c == "}" and depth > 0 and -1 or 0)
      pos = pos + 1
    end
  end
end

local CLOSES = { ["{{"] = "}}", ["{{{"] = "}}}", ["{%"] = "%}", ["{#"] = "#}" }
local KINDS = { ["{{"] = "expr", ["{{{"] = "raw", ["{%"] = "code" }

-- A tag that stands alone on its lines takes them with it.
local function stands_alone(source, first, last)
  local start = first
  while start > 1 and find(sub(source, start - 1, start - 1), "[ \t]") do
    start = start - 1
  end
  if start > 1 and byte(source, start - 1) ~= 10 then
    return false
  end
  local _, stop = find(source, "^[ \t]*\r?\n", last + 1)
  return stop or find(source, "^[ \t]*$", last + 1) ~= nil
end

--- @param source string
--- @return tidegate.TemplatePart[]? parts
--- @return { message: string, offset: integer, stop: integer }? problem
function M.parts(source)
  local parts, pos, line, counted = {}, 1, 1, 1
  local trim = nil -- what the tag before takes of the text that follows it

  local function line_of(offset)
    while true do
      local feed = find(source, "\n", counted, true)
      if not feed or feed >= offset then
        return line
      end
      line, counted = line + 1, feed + 1
    end
  end

  local function add_text(text, before)
    if trim == "all" then
      text = match(text, "^%s*(.*)$")
    elseif trim == "line" then
      text = text:gsub("^[ \t]*\r?\n", "", 1)
    end
    if before == "all" then
      text = match(text, "^(.-)%s*$")
    elseif before == "line" then
      text = match(text, "^(.-)[ \t]*$")
    end
    if text ~= "" then
      parts[#parts + 1] = { kind = "text", text = text, offset = pos }
    end
    trim = nil
  end

  while true do
    local first = find(source, "{[{%%#]", pos)
    if not first then
      add_text(sub(source, pos))
      return parts
    end
    local open = match(source, "^{{{?", first) or sub(source, first, first + 1)
    local close, at = CLOSES[open], first + #open
    local eats_before = match(source, "^%-%s", at) ~= nil
    at = at + (eats_before and 1 or 0)
    local stop, code, bare
    if open == "{#" then
      stop = find(source, close, at, true)
    else
      stop, code, bare = scan_code(source, at, close)
    end
    if not stop then
      local message = ("'%s' is not closed by '%s'"):format(open, close)
      return nil, { message = message, offset = first, stop = first + #open - 1 }
    end
    local eats_after = sub(source, stop - 1, stop - 1) == "-" and stop - 1 >= at
    if eats_after and code then
      code, bare = sub(code, 1, -2), sub(bare, 1, -2)
    end
    local last = stop + #close - 1
    local kind = KINDS[open]
    local alone = (kind == "code" or not kind) and stands_alone(source, first, last)
    add_text(sub(source, pos, first - 1), eats_before and "all" or alone and "line")
    trim = eats_after and "all" or alone and "line" or nil
    pos = last + 1
    if kind == "code" and match(code, "^%s*raw%s*$") then
      local from, to = find(source, "{%%%-?%s*endraw%s*%-?%%}", pos)
      if not from then
        return nil, { message = "'{% raw %}' is not closed by '{% endraw %}'", offset = first, stop = last }
      end
      add_text(sub(source, pos, from - 1))
      pos = to + 1
    elseif code then
      parts[#parts + 1] = { kind = kind, code = code, bare = bare, offset = first, at = at, stop = last,
        line = line_of(first) }
    end
  end
end

local asks = { render = true, text = true, get = true }

--- Names of templates that a Lua source asks for by tg.template.render("name") and its kin, where they are literals.
--- @param source string
--- @return { name: string, offset: integer, stop: integer }[]
function M.names(source)
  local names, pos = {}, 1
  while true do
    pos = find(source, "[\"'%-%[t]", pos)
    if not pos then
      return names
    end
    local c = sub(source, pos, pos)
    if c == '"' or c == "'" then
      pos = after_string(source, pos)
    elseif c == "-" and sub(source, pos, pos + 1) == "--" then
      pos = after_long(source, pos + 2) or find(source, "\n", pos, true) or #source + 1
    elseif c == "[" then
      pos = after_long(source, pos) or pos + 1
    else
      local method, at = match(source, "^tg%.template%.(%l+)%s*%(?%s*()[\"']", pos)
      local stop = at and after_string(source, at)
      if stop and asks[method] and not find(sub(source, pos - 1, pos - 1), "[%w_.:]")
        and not find(source, "^%s*%.%.", stop) then
        names[#names + 1] = { name = sub(source, at + 1, stop - 2), offset = at, stop = stop - 1 }
      end
      pos = stop or pos + 1
    end
  end
end

return M
