-- What `tidegate dev` answers where a handler has failed, or the application does not load: a page for browsers, a
-- problem document with more members for others. For core/bind/error_page.c; in `run` nothing of this is ever loaded.

local assets = require "tidegate._core.error_page_assets"
local caret = require "tidegate._pure.caret"
local core = require "tidegate._core.core"

local FRAME_LINES = 4 -- of source, before and after
local SOURCE_MAX = 1024 * 1024

local entities = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["'"] = "&#39;" }

local function html(text)
  return (tostring(text):gsub("[&<>\"']", entities):gsub("[%z\1-\8\11-\31\127]", "?"))
end

-- --- sources -----------------------------------------------------------------------------------------------------

-- A file of the application, by its path inside it.
local function source_of(path)
  local is_ours = path:find("%.lua$") or path:find("^templates/")
  if not is_ours or path:find("^/") or path:find("..", 1, true) or path:find("%c") then
    return nil
  end
  local text = core.read_file(core.app_dir .. "/" .. path)
  return text and #text <= SOURCE_MAX and text or nil
end

-- "routes/x.lua:3" -> file, line
local function split(place)
  local file, line = place:match("^([^:]+%.lua):(%d+)")
  if not file then
    file, line = place:match("^(templates/[^:]+):(%d+)")
  end
  return file, tonumber(line)
end

-- The lines around one, each {number, text}; nil where there is no source.
local function frame(place)
  local file, line = split(place or "")
  local source = file and source_of(file)
  if not source then
    return nil
  end
  local out, number = { file = file, line = line }, 0
  for text in (source .. "\n"):gmatch("(.-)\r?\n") do
    number = number + 1
    if math.abs(number - line) <= FRAME_LINES then
      out[#out + 1] = { number = number, text = text }
    elseif number > line then
      break
    end
  end
  if out[1] and out[#out].text == "" and out[#out].number > line then
    out[#out] = nil -- behind the last line feed
  end
  return out[1] and out or nil
end

local function html_frame(lines)
  local out = {}
  for _, row in ipairs(lines) do
    local at = row.number == lines.line
    out[#out + 1] = ('<span%s>%4d | %s</span>'):format(at and ' class="at"' or "", row.number,
      html((row.text:gsub("\t", "  "))))
    if at then
      local text = row.text:gsub("\t", "  ")
      local first, last = text:find("%S.*%S")
      first, last = first or text:find("%S") or 1, last or first or 1
      local mark = (" "):rep(first - 1) .. ("^"):rep(last - first + 1)
      out[#out + 1] = '<span class="caret">     | ' .. mark .. "</span>"
    end
  end
  return "<pre>" .. table.concat(out) .. "</pre>"
end

-- --- secrets -----------------------------------------------------------------------------------------------------

local secret_words = { "auth", "cookie", "token", "secret", "passw", "key", "session", "csrf", "credential" }

local function is_secret(name)
  name = name:lower()
  for _, word in ipairs(secret_words) do
    if name:find(word, 1, true) then
      return true
    end
  end
end

local function shown_target(given)
  return (given.target:gsub("([?&])([^=&]*)=([^&]*)", function(mark, name, value)
    return mark .. name .. "=" .. (is_secret(name) and "***" or value)
  end))
end

-- --- the page ----------------------------------------------------------------------------------------------------

local function trace_lines(traceback)
  local out = {}
  for line in (traceback or ""):gmatch("[^\n]+") do
    out[#out + 1] = line
  end
  return out
end

-- Lines of C and of the library are folded where several follow each other.
local function html_trace(traceback)
  local out, folded = {}, {}
  local function unfold()
    if folded[1] then
      out[#out + 1] = ("<details><summary>%d more</summary><pre>%s</pre></details>"):format(#folded,
        table.concat(folded))
      folded = {}
    end
  end
  for _, line in ipairs(trace_lines(traceback)) do
    if line:find("^%[C%]") or line:find("^lua/tidegate/") then
      folded[#folded + 1] = "<span>" .. html(line) .. "</span>"
    else
      unfold()
      local lines = frame(line)
      out[#out + 1] = lines and ("<details><summary>%s</summary>%s</details>"):format(html(line), html_frame(lines))
        or "<div><code>" .. html(line) .. "</code></div>"
    end
  end
  unfold()
  return table.concat(out)
end

local function plain_text(given, lines)
  local out = { given.title .. ": " .. given.message, given.method .. " " .. shown_target(given) }
  if lines then
    out[#out + 1] = caret.render({ message = given.message, file = lines.file, line = lines.line },
      source_of(lines.file))
  end
  out[#out + 1] = given.traceback
  return table.concat(out, "\n")
end

local function html_request(given)
  local out = { ("<tr><td>%s</td><td>%s</td></tr>"):format(html(given.method), html(shown_target(given))) }
  if given.route then
    out[2] = ("<tr><td>route</td><td>%s (%s)</td></tr>"):format(html(given.route), html(given.defined))
  end
  for _, field in ipairs(given.fields) do
    out[#out + 1] = ("<tr><td>%s</td><td>%s</td></tr>"):format(html(field[1]),
      is_secret(field[1]) and "***" or html(field[2]))
  end
  return "<table>" .. table.concat(out) .. "</table>"
end

local function nonce()
  return (core.open("random").random_bytes(16):gsub(".", function(byte)
    return ("%02x"):format(byte:byte())
  end))
end

local function page(given)
  local once, lines = nonce(), frame(given.place)
  local parts = {
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
    ("<title>%s</title>"):format(html(given.title)),
    ('<style nonce="%s">%s</style></head>'):format(once, assets.style),
    ('<body data-generation="%d" data-load-failures="%d"%s>'):format(given.generation, given.load_failures,
      (given.method == "GET" or given.method == "HEAD") and ' data-safe="1"' or ""),
    ('<header><span>%s</span><button id="copy" type="button">Copy</button></header>'):format(html(given.title)),
    ("<main><h1>%s</h1>"):format(html(given.message)),
  }
  local function add(text)
    parts[#parts + 1] = text
  end
  if given.load_errors then
    add("<pre><span>" .. html(given.load_errors):gsub("\n", "</span><span>") .. "</span></pre>")
  end
  if lines then
    add(("<h2>%s:%d</h2>%s"):format(html(lines.file), lines.line, html_frame(lines)))
  end
  if given.traceback and given.traceback ~= "" then
    add("<h2>Traceback</h2>" .. html_trace(given.traceback))
  end
  add("<h2>Request</h2>" .. html_request(given))
  add('</main><footer><p id="state">This page comes anew when the code is saved.</p>')
  add("<p>Only <code>tidegate dev</code> shows it.</p></footer>")
  add(('<pre id="plain" hidden>%s</pre>'):format(html(given.load_errors or plain_text(given, lines))))
  add(('<script nonce="%s">%s</script></body></html>\n'):format(once, assets.script))
  return table.concat(parts), "text/html; charset=utf-8",
    ("default-src 'none'; style-src 'nonce-%s'; script-src 'nonce-%s'; connect-src 'self'; base-uri 'none'; "
      .. "form-action 'none'; frame-ancestors 'none'"):format(once, once)
end

local function problem(given)
  local json = core.open("json")
  local document = {
    type = "about:blank", title = given.title, status = given.status, detail = given.detail, instance = given.path,
    message = given.message, code = given.code, load_errors = given.load_errors,
    traceback = given.traceback and given.traceback ~= "" and json.array(trace_lines(given.traceback)) or nil,
  }
  local lines = frame(given.place)
  if lines then
    document.source = { file = lines.file, line = lines.line, lines = json.array({}) }
    for index, row in ipairs(lines) do
      document.source.lines[index] = ("%d | %s"):format(row.number, row.text)
    end
  end
  return json.encode(document), "application/problem+json"
end

--- @param given table what core/bind/error_page.c knows of request and failure
--- @return string body
--- @return string type
--- @return string? policy the value of Content-Security-Policy
return function(given)
  if not given.place or given.place == "" then
    given.place = (given.traceback or ""):match("[^%s:]+%.lua:%d+")
  end
  for _, field in ipairs(given.fields) do
    if field[1]:lower() == "accept" and field[2]:lower():find("text/html", 1, true) then
      return page(given)
    end
  end
  return problem(given)
end
