-- Where in HTML a place is: what an expression may be there, and how it is written.
--
-- It follows the tokenizer of browsers (WHATWG HTML, section 13.2.5) as far as that matters: text, tags, attributes and
-- their values, comments, and elements whose content is no HTML. A state is a table that is not changed any more.

local M = {}

local find, match, sub = string.find, string.match, string.sub

--- @class tidegate.HtmlState
--- @field mode "text"|"tag_name"|"tag"|"name"|"after_name"|"before_value"|"value"|"comment"|"script"|"style"|"rcdata"
--- @field element string? of a tag, or whose content this is
--- @field closing boolean? an end tag
--- @field attr string? whose name or value this is; what comes from data stands as "\0"
--- @field quote string? of a value; "" for none
--- @field before string? what stands in the value already, in the same way

local DATA = "\0"
local TEXT = { mode = "text" }
M.start = TEXT

-- Elements whose content is text up to their end tag.
local CONTENT = { script = "script", style = "style", textarea = "rcdata", title = "rcdata" }

-- Attributes whose value is a URL.
local URLS = { href = true, src = true, action = true, formaction = true, poster = true, cite = true, data = true,
  background = true, manifest = true, ping = true, ["xlink:href"] = true, codebase = true, longdesc = true }

local function with(state, changes)
  local new = {}
  for key, value in pairs(state) do
    new[key] = value
  end
  for key, value in pairs(changes) do
    new[key] = value
  end
  return new
end

local function after_tag(state)
  local content = not state.closing and CONTENT[state.element]
  return content and { mode = content, element = state.element } or TEXT
end

-- Each takes the text, the offset in it and the state; gives the next offset and state.
local step = {}

function step.text(text, pos)
  local at, _, after = find(text, "<()", pos)
  if not at then
    return #text + 1, TEXT
  elseif sub(text, after, after + 2) == "!--" then
    return after + 3, { mode = "comment" }
  end
  local slash, name = match(text, "^(/?)(%a[^%s/>]*)", after)
  if not name and match(text, "^/?$", after) then
    return #text + 1, { mode = "tag_name", element = "" }
  elseif not name then
    return after, TEXT
  end
  return after + #slash + #name, { mode = "tag_name", element = name:lower(), closing = slash == "/" or nil }
end

function step.comment(text, pos, state)
  local _, last = find(text, "-->", pos, true)
  return last and last + 1 or #text + 1, last and TEXT or state
end

-- The content of script, style, textarea, title: up to the end tag of that name.
local function step_content(text, pos, state)
  local lower = text:lower()
  while true do
    local at, last = find(lower, "</" .. state.element, pos, true)
    if not at then
      return #text + 1, state
    elseif find(lower, "^[%s/>]", last + 1) then
      return last + 1, { mode = "tag", element = state.element, closing = true }
    end
    pos = last + 1
  end
end

step.script, step.style, step.rcdata = step_content, step_content, step_content

function step.tag_name(text, pos, state)
  local more = match(text, "^[^%s/>]*", pos)
  return pos + #more, { mode = "tag", element = state.element .. more:lower(), closing = state.closing }
end

function step.tag(text, pos, state)
  pos = find(text, "[^%s/]", pos) or #text + 1
  if pos > #text then
    return pos, state
  elseif sub(text, pos, pos) == ">" then
    return pos + 1, after_tag(state)
  end
  return pos, with(state, { mode = "name", attr = "" })
end

function step.name(text, pos, state)
  local more = match(text, "^[^%s/>=]*", pos)
  if more == "" and state.attr == "" and sub(text, pos, pos) == "=" then
    more = "="
  end
  local attr = state.attr .. more:lower()
  pos = pos + #more
  if pos > #text then
    return pos, with(state, { attr = attr })
  end
  return pos, with(state, { mode = "after_name", attr = attr })
end

function step.after_name(text, pos, state)
  pos = find(text, "%S", pos) or #text + 1
  if pos > #text then
    return pos, state
  elseif sub(text, pos, pos) == "=" then
    if find(state.attr, DATA, 1, true) and not find(state.attr, "^data%-") and not find(state.attr, "^aria%-") then
      return nil, nil, "the name of an attribute cannot come from data, but after data- or aria-"
    end
    return pos + 1, with(state, { mode = "before_value" })
  end
  return pos, { mode = "tag", element = state.element, closing = state.closing }
end

function step.before_value(text, pos, state)
  pos = find(text, "%S", pos) or #text + 1
  if pos > #text then
    return pos, state
  end
  local c = sub(text, pos, pos)
  if c == '"' or c == "'" then
    return pos + 1, with(state, { mode = "value", quote = c, before = "" })
  end
  return pos, with(state, { mode = "value", quote = "", before = "" })
end

function step.value(text, pos, state)
  local is_open = state.quote == ""
  local stop = find(text, is_open and "[%s>]" or state.quote, pos, not is_open)
  local more = sub(text, pos, (stop or #text + 1) - 1)
  if not stop then
    return #text + 1, with(state, { before = state.before .. more })
  end
  return stop + #state.quote, { mode = "tag", element = state.element, closing = state.closing }
end

--- The state after some text of the template.
--- @param state tidegate.HtmlState
--- @param text string
--- @return tidegate.HtmlState? state
--- @return string? problem
function M.after_text(state, text)
  local pos = 1
  while pos <= #text do
    local problem
    pos, state, problem = step[state.mode](text, pos, state)
    if not pos then
      return nil, problem
    end
  end
  return state
end

local function in_value(state, call)
  local attr = state.attr
  if state.quote == "" then
    return nil, ('put the value into quotes: %s="{{ ... }}"'):format(attr)
  elseif find(attr, "^on") and call ~= "json" then
    return nil, attr .. " holds JavaScript: write {{ json(value) }} there"
  elseif attr == "srcdoc" then
    return nil, "srcdoc holds a page of its own: nothing can be escaped for it"
  elseif URLS[attr] and not find(state.before, "[/?#:]") then
    if find(state.before, DATA, 1, true) then
      return nil, "a URL begins with one expression: {{ a .. b }}"
    elseif state.before == "" then
      return "u"
    end
  end
  return "e"
end

local FIXED = {
  text = "e", rcdata = "e", tag = "e", name = "e", after_name = "e",
}

--- How an expression is written at this place: "e" escaped, "u" a URL, "j" JSON in a script.
--- @param state tidegate.HtmlState
--- @param call string? the function that it is a call of: "json", "url"
--- @return string? kind
--- @return string? problem
function M.kind(state, call)
  local mode = state.mode
  if mode == "script" then
    if call == "json" then
      return "j"
    end
    return nil, "inside of <script> stands JavaScript: write {{ json(value) }}"
  elseif mode == "style" then
    return nil, "inside of <style> nothing can be escaped"
  elseif mode == "tag_name" then
    return nil, "the name of a tag cannot come from data"
  elseif mode == "comment" then
    return "e"
  elseif mode == "before_value" then
    return nil, ('put the value into quotes: %s="{{ ... }}"'):format(state.attr)
  elseif mode == "value" then
    return in_value(state, call)
  end
  return FIXED[mode]
end

--- The state after an expression.
--- @param state tidegate.HtmlState
--- @return tidegate.HtmlState
function M.after_expr(state)
  local mode = state.mode
  if mode == "tag" or mode == "after_name" then
    return with(state, { mode = "name", attr = DATA })
  elseif mode == "name" then
    return with(state, { attr = state.attr .. DATA })
  elseif mode == "value" then
    return with(state, { before = state.before .. DATA })
  elseif mode == "before_value" then
    return with(state, { mode = "value", quote = "", before = DATA })
  end
  return state
end

--- The state after a part that may be anybody's: a block.
--- @param state tidegate.HtmlState
--- @return tidegate.HtmlState
function M.after_part(state)
  return state.mode == "value" and M.after_expr(state) or state
end

--- The state after two ways to one place, of which `state` is one: what comes from data in the other counts, too.
--- @param state tidegate.HtmlState
--- @param other tidegate.HtmlState
--- @return tidegate.HtmlState
function M.merge(state, other)
  if state.mode == "value" and other.mode == "value" and find(other.before, DATA, 1, true) then
    return M.after_expr(state)
  end
  return state
end

--- Does code between two states that runs several times put the beginning of a URL together?
--- @param from tidegate.HtmlState
--- @param to tidegate.HtmlState
--- @return boolean
function M.joins_url(from, to)
  return from.mode == "value" and to.mode == "value" and URLS[from.attr] ~= nil and not find(from.before, "[/?#:]")
    and find(sub(to.before, #from.before + 1), DATA, 1, true) ~= nil
end

local IN_TAG = { tag_name = true, tag = true, name = true, after_name = true, before_value = true }

--- Are two places of one kind, so that the branches of an `if` may end there?
--- @param a tidegate.HtmlState
--- @param b tidegate.HtmlState
--- @return boolean
function M.alike(a, b)
  if IN_TAG[a.mode] and IN_TAG[b.mode] then
    return a.element == b.element
  end
  return a.mode == b.mode and a.quote == b.quote and a.element == b.element and a.attr == b.attr
end

--- The words for a place.
--- @param state tidegate.HtmlState
--- @return string
function M.words(state)
  local mode = state.mode
  if mode == "value" then
    return "in the value of " .. (state.attr:gsub("%z", "..."))
  elseif IN_TAG[mode] then
    return "inside of a <" .. state.element .. "> tag"
  elseif mode == "comment" then
    return "in a comment"
  elseif state.element then
    return "inside of <" .. state.element .. ">"
  end
  return "in text"
end

return M
