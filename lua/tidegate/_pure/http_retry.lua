-- When a request is made again, and after how long.
--
-- A budget bounds all retries of a client together: each request earns a part of one, so that a service that fails for
-- everybody gets a fifth more requests and not several times as many.

local M = {}

local EARNS = 0.2 -- retries that a request earns
local SAVED = 10 -- retries that may come in a row
local FIRST, LONGEST = 0.1, 5 -- seconds before the first retry, and before any
local PATIENCE = 30 -- seconds of Retry-After that are waited for

local idempotent = { GET = true, HEAD = true, OPTIONS = true, TRACE = true, PUT = true, DELETE = true }
local busy = { [429] = true, [502] = true, [503] = true, [504] = true }
local transient = {
  refused = true, reset = true, closed = true, timeout = true, unreachable = true, dns_servfail = true,
  dns_unreachable = true, cut = true,
}

--- @param method string
--- @return boolean
function M.is_idempotent(method)
  return idempotent[method] or false
end

--- Is that status worth another try?
--- @param status integer
--- @return boolean
function M.is_busy(status)
  return busy[status] or false
end

--- Is that failure? One of the whole call's time is not, there is none left.
--- @param err table an error object of the call
--- @return boolean
function M.is_transient(err)
  return transient[err.code] and err.which ~= "total" or false
end

--- What a client may spend on retries.
--- @return table
function M.budget()
  return { tokens = SAVED }
end

--- A request was made.
--- @param budget table
function M.earn(budget)
  budget.tokens = math.min(SAVED, budget.tokens + EARNS)
end

--- Takes a retry off; false where there is none left.
--- @param budget table
--- @return boolean
function M.spend(budget)
  if budget.tokens < 1 then
    return false
  end
  budget.tokens = budget.tokens - 1
  return true
end

--- Seconds to wait before retry `number` (from 1): a random part of a time that doubles, so that those who failed
--- together do not come back together.
--- @param number integer
--- @param random number from 0 to 1
--- @return number
function M.delay(number, random)
  return random * math.min(LONGEST, FIRST * 2 ^ (number - 1))
end

--- Seconds that a Retry-After asks for; nil where it says nothing of use, false where that is too long to wait.
--- @param value string?
--- @param now number seconds since 1970
--- @param parse_date fun(text: string): number?
--- @return number|false|nil
function M.retry_after(value, now, parse_date)
  if not value then
    return nil
  end
  local seconds = value:find("^%d+$") and tonumber(value)
  if not seconds then
    local date = parse_date(value)
    seconds = date and math.max(0, date - now)
  end
  if not seconds then
    return nil
  end
  return seconds <= PATIENCE and seconds
end

return M
