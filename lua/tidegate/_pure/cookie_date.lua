-- The dates of cookies, read as RFC 6265 section 5.1.1 says: any order, and much else that servers write.

local months = {}
for index, name in ipairs({ "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec" }) do
  months[name] = index
end

-- Days from 1970-01-01 to a date of the Gregorian calendar.
local function days(year, month, day)
  if month <= 2 then
    year, month = year - 1, month + 12
  end
  local leaps = math.floor(year / 4) - math.floor(year / 100) + math.floor(year / 400)
  return 365 * year + leaps + math.floor((153 * (month - 3) + 2) / 5) + day - 719469
end

local function days_in(year, month)
  local next_year, next_month = month == 12 and year + 1 or year, month % 12 + 1
  return days(next_year, next_month, 1) - days(year, month, 1)
end

-- A token is taken for the first of time, day, month and year that it fits and that is not known yet.
local function take(found, token)
  local hour, minute, second = token:match("^(%d%d?):(%d%d?):(%d%d?)%f[%D]")
  local day, month = token:match("^(%d%d?)%f[%D]"), months[token:sub(1, 3):lower()]
  local year = token:match("^(%d%d%d?%d?)%f[%D]")
  if not found.hour and hour then
    found.hour, found.minute, found.second = tonumber(hour), tonumber(minute), tonumber(second)
  elseif not found.day and day then
    found.day = tonumber(day)
  elseif not found.month and month then
    found.month = month
  elseif not found.year and year then
    found.year = tonumber(year)
  end
end

--- Seconds since 1970, or nil where it is no date.
--- @param text string
--- @return number?
return function(text)
  local found = {}
  -- Delimiters: tab, space to /, ; to @, [ to `, { to ~.
  for token in text:gmatch("[^\t -/;-@%[-`{-~]+") do
    take(found, token)
  end
  local year = found.year
  if not (found.hour and found.day and found.month and year) then
    return nil
  end
  year = year >= 70 and year <= 99 and year + 1900 or year <= 69 and year + 2000 or year
  if year < 1601 or found.hour > 23 or found.minute > 59 or found.second > 59 or found.day < 1
    or found.day > days_in(year, found.month) then
    return nil
  end
  return days(year, found.month, found.day) * 86400 + found.hour * 3600 + found.minute * 60 + found.second
end
