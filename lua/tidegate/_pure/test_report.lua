-- Results of tests as text for people, as TAP, and as JUnit's XML. Pure: results in, text out.

local M = {}

--- @class tidegate.TestResult
--- @field name string with the names of the blocks around it
--- @field file string
--- @field line integer
--- @field status "passed"|"failed"|"error"|"pending" error: outside of a test, while loading or in setup and teardown
--- @field seconds number real ones
--- @field message string? why it failed or is pending
--- @field rendered string? the failure in the caret form
--- @field place string? of the failure, "file:line"
--- @field traceback string?
--- @field exchange { line: string, status: integer?, body: string? }? the last request of a test that failed

--- @class tidegate.TestTotals
--- @field passed integer
--- @field failed integer
--- @field pending integer
--- @field seconds number

-- --- text --------------------------------------------------------------------------------------------------------

local colors = { passed = "32", failed = "31", error = "31", pending = "33", dim = "2" }

--- @param text string
--- @param color string a status, or "dim"
--- @param on boolean
--- @return string
function M.paint(text, color, on)
  return on and ("\27[%sm%s\27[0m"):format(colors[color], text) or text
end

-- The last request of a test and its answer, as lines; each byte that is none of a text as "?".
local function exchange_lines(exchange)
  local out = { ("last request: %s -> %s"):format(exchange.line, exchange.status or "no answer") }
  for line in (M.plain(exchange.body or "") .. "\n"):gmatch("(.-)\r?\n") do
    out[#out + 1] = line ~= "" and "  " .. line or nil
  end
  return out
end

local function plural(count, word)
  return ("%d %s"):format(count, word)
end

--- One test, for people.
--- @param result tidegate.TestResult
--- @param color boolean
--- @return string
function M.line(result, color)
  local word = ({ passed = "ok", failed = "FAILED", error = "ERROR", pending = "pending" })[result.status]
  return ("%s %s\n"):format(M.paint(("%-7s"):format(word), result.status, color), result.name)
end

--- The failures of a run and what came of it, for people.
--- @param results tidegate.TestResult[]
--- @param totals tidegate.TestTotals
--- @param color boolean
--- @return string
function M.summary(results, totals, color)
  local out = {}
  for _, result in ipairs(results) do
    if result.status == "failed" or result.status == "error" then
      out[#out + 1] = ("\n%s %s\n"):format(M.paint(result.status == "failed" and "FAILED" or "ERROR", "failed", color),
        result.name)
      out[#out + 1] = result.rendered or (result.message or "") .. "\n"
      for line in (result.traceback or ""):gmatch("[^\n]+") do
        out[#out + 1] = M.paint("  " .. line, "dim", color) .. "\n"
      end
      for _, line in ipairs(result.exchange and exchange_lines(result.exchange) or {}) do
        out[#out + 1] = M.paint(line, "dim", color) .. "\n"
      end
    elseif result.status == "pending" then
      out[#out + 1] = ("\n%s %s (%s:%d)%s\n"):format(M.paint("pending", "pending", color), result.name, result.file,
        result.line, result.message and ": " .. result.message or "")
    end
  end
  local parts = { plural(totals.passed, "passed"), plural(totals.failed, "failed") }
  if totals.pending > 0 then
    parts[#parts + 1] = plural(totals.pending, "pending")
  end
  local text = ("%s (%.2f s)"):format(table.concat(parts, ", "), totals.seconds)
  out[#out + 1] = "\n" .. M.paint(text, totals.failed > 0 and "failed" or "passed", color) .. "\n"
  return table.concat(out)
end

-- --- TAP 13 ------------------------------------------------------------------------------------------------------

local function tap_name(result)
  return (result.name:gsub("[%c]", " "):gsub("[\\#]", "\\%0"))
end

--- One test as lines of TAP.
--- @param result tidegate.TestResult
--- @param number integer
--- @return string
function M.tap(result, number)
  local name = tap_name(result)
  if result.status == "passed" then
    return ("ok %d - %s\n"):format(number, name)
  elseif result.status == "pending" then
    return ("ok %d - %s # SKIP %s\n"):format(number, name, ((result.message or "pending"):gsub("%c", " ")))
  end
  local out = { ("not ok %d - %s\n  ---\n  message: |\n"):format(number, name) }
  local exchange = result.exchange and table.concat(exchange_lines(result.exchange), "\n") or ""
  for line in ((result.rendered or result.message or "") .. "\n" .. exchange .. "\n"):gmatch("(.-)\n") do
    if line:find("%S") then
      out[#out + 1] = "    " .. line .. "\n"
    end
  end
  out[#out + 1] = ("  file: %q\n  line: %d\n  ...\n"):format(result.file, result.line)
  return table.concat(out)
end

-- --- JUnit -------------------------------------------------------------------------------------------------------

local entities = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["\n"] = "&#10;" }

-- One character of UTF-8 that XML 1.0 allows, at `at`; its length, or nil.
local function xml_char(text, at)
  local byte = text:byte(at)
  if byte < 0x80 then
    return (byte >= 0x20 and byte ~= 0x7F or byte == 9 or byte == 10 or byte == 13) and 1 or nil
  end
  local one = text:match("^[\194-\223][\128-\191]", at)
    or text:match("^\224[\160-\191][\128-\191]", at)
    or text:match("^[\225-\236\238][\128-\191][\128-\191]", at)
    or text:match("^\237[\128-\159][\128-\191]", at)
    or text:match("^\239[\128-\190][\128-\191]", at)
    or text:match("^\239\191[\128-\189]", at)
    or text:match("^\240[\144-\191][\128-\191][\128-\191]", at)
    or text:match("^[\241-\243][\128-\191][\128-\191][\128-\191]", at)
    or text:match("^\244[\128-\143][\128-\191][\128-\191]", at)
  return one and #one
end

--- Bytes that are no text become "?": invalid UTF-8, control bytes but tab, line feed and return.
--- @param text string
--- @return string
function M.plain(text)
  local out, at = {}, 1
  while at <= #text do
    local length = xml_char(text, at)
    out[#out + 1] = length and text:sub(at, at + length - 1) or "?"
    at = at + (length or 1)
  end
  return table.concat(out)
end

--- Text for XML; what XML cannot hold becomes "?". Line feeds stay in content, and are escaped in attributes.
--- @param text string
--- @param attribute boolean?
--- @return string
function M.xml(text, attribute)
  return (M.plain(text):gsub(attribute and '[&<>"\n]' or '[&<>"]', entities))
end

local function xml_case(result)
  local head = ('    <testcase classname="%s" name="%s" file="%s" line="%d" time="%.6f"'):format(
    M.xml(result.file:gsub("%.lua$", ""):gsub("/", "."), true), M.xml(result.name, true), M.xml(result.file, true),
    result.line, result.seconds)
  local message = M.xml(result.message or "", true)
  if result.status == "passed" then
    return head .. "/>\n"
  elseif result.status == "pending" then
    return ('%s>\n      <skipped message="%s"/>\n    </testcase>\n'):format(head, message)
  end
  local tag = result.status == "error" and "error" or "failure"
  local text = (result.rendered or result.message or "") .. (result.traceback and "\n" .. result.traceback or "")
    .. (result.exchange and "\n" .. table.concat(exchange_lines(result.exchange), "\n") or "")
  return ('%s>\n      <%s message="%s">%s</%s>\n    </testcase>\n'):format(head, tag, message, M.xml(text), tag)
end

--- All results as one document of JUnit's XML: a test suite for each file.
--- @param results tidegate.TestResult[]
--- @param totals tidegate.TestTotals
--- @return string
function M.junit(results, totals)
  local files, suites = {}, {}
  for _, result in ipairs(results) do
    local suite = suites[result.file]
    if not suite then
      suite = { tests = 0, failed = 0, error = 0, pending = 0, passed = 0, seconds = 0, cases = {} }
      suites[result.file] = suite
      files[#files + 1] = result.file
    end
    suite.tests = suite.tests + 1
    suite[result.status] = suite[result.status] + 1
    suite.seconds = suite.seconds + result.seconds
    suite.cases[#suite.cases + 1] = xml_case(result)
  end
  local out = { '<?xml version="1.0" encoding="UTF-8"?>\n' }
  out[#out + 1] = ('<testsuites name="tidegate" tests="%d" failures="%d" time="%.6f">\n'):format(
    #results, totals.failed, totals.seconds)
  for _, file in ipairs(files) do
    local suite = suites[file]
    out[#out + 1] = ('  <testsuite name="%s" tests="%d" failures="%d" errors="%d" skipped="%d" time="%.6f">\n'):format(
      M.xml(file, true), suite.tests, suite.failed, suite.error, suite.pending, suite.seconds)
    out[#out + 1] = table.concat(suite.cases)
    out[#out + 1] = "  </testsuite>\n"
  end
  out[#out + 1] = "</testsuites>\n"
  return table.concat(out)
end

return M
