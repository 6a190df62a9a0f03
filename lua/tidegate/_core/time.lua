-- Dates: tg.rfc3339, tg.http_date and what reads them. The calendar is C (core/bind/calendar.c).

local core = require "tidegate._core.core"
local calendar = core.open("calendar")

local M = {}

local YEARS = ": the time must lie in the years 0 to 9999"

local function time_of(name, t)
  if t == nil then
    return core.time()
  elseif type(t) ~= "number" then
    error(("%s: seconds since 1970 expected, got %s"):format(name, type(t)), 3)
  end
  return t
end

-- "+02:00" or seconds -> minutes east of UTC
local function minutes_of(offset)
  local seconds = offset
  if type(offset) == "string" then
    local sign, hours, minutes = offset:match("^([+-])(%d%d):(%d%d)$")
    hours, minutes = tonumber(hours), tonumber(minutes)
    if not sign or hours > 23 or minutes > 59 then
      return nil
    end
    return (hours * 60 + minutes) * (sign == "-" and -1 or 1)
  elseif type(seconds) ~= "number" or seconds % 60 ~= 0 or math.abs(seconds) >= 86400 then
    return nil
  end
  return seconds / 60
end

local known = { utc = true, offset = true, digits = true }

local function read_options(opts)
  if type(opts) ~= "table" then
    error("tg.rfc3339: options are a table {utc=, offset=, digits=}, not a " .. type(opts), 3)
  end
  for key in pairs(opts) do
    if not known[key] then
      error("tg.rfc3339: unknown option '" .. tostring(key) .. "'; there are utc, offset and digits", 3)
    end
  end
  local digits = opts.digits or 3
  if type(digits) ~= "number" or digits < 0 or digits > 9 or digits % 1 ~= 0 then
    error("tg.rfc3339: digits is a whole number from 0 to 9", 3)
  end
  if opts.offset == nil then
    return digits, opts.utc == false
  end
  local minutes = minutes_of(opts.offset)
  if not minutes then
    error('tg.rfc3339: offset is "+02:00", or seconds (whole minutes of them)', 3)
  elseif opts.utc then
    error("tg.rfc3339: utc and offset exclude each other", 3)
  end
  return digits, minutes
end

--- A date as in RFC 3339: "2026-01-02T03:04:05.678Z".
--- @param t? number seconds since 1970, with fractions; now where it is not given
--- @param opts? {utc: boolean, offset: string|number, digits: integer}
---   `digits` of the fraction (3), to which the time is rounded; `offset` "+02:00" or seconds instead of "Z";
---   `utc = false` for the offset of the machine's time zone
--- @return string
function M.rfc3339(t, opts)
  local digits, offset = 3, false
  t = time_of("tg.rfc3339", t)
  if opts ~= nil then
    digits, offset = read_options(opts)
  end
  return calendar.rfc3339(t, digits, offset) or error("tg.rfc3339" .. YEARS, 2)
end

--- A date as in HTTP header fields (RFC 9110 section 5.6.7): "Fri, 02 Jan 2026 03:04:05 GMT".
--- @param t? number seconds since 1970, cut to a whole one; now where it is not given
--- @return string
function M.http_date(t)
  return calendar.http_date(time_of("tg.http_date", t)) or error("tg.http_date" .. YEARS, 2)
end

local function text_of(name, text)
  if type(text) ~= "string" then
    error(("%s: a string expected, got %s"):format(name, type(text)), 3)
  end
  return text
end

--- Reads a date of RFC 3339; strict. A leap second counts as the first second of the next minute.
--- @param text string
--- @return number? seconds since 1970
--- @return string? why it is none
function M.parse_rfc3339(text)
  return calendar.parse_rfc3339(text_of("tg.parse_rfc3339", text))
end

--- Reads a date of an HTTP header field: any of the three forms of RFC 9110 section 5.6.7; strict.
--- @param text string
--- @return number? seconds since 1970
--- @return string? why it is none
function M.parse_http_date(text)
  return calendar.parse_http_date(text_of("tg.parse_http_date", text))
end

return M
