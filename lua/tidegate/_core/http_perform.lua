-- A request of tg.http with all that may come of it: redirects, and each of them with its retries.

local core = require "tidegate._core.core"
local redirect = require "tidegate._pure.http_redirect"
local requests = require "tidegate._core.http_request"
local retries = require "tidegate._pure.http_retry"
local tg = require "tidegate"

local send = requests.send

local function keep(err)
  return err
end

local function random()
  local a, b = tg.random_bytes(2):byte(1, 2)
  return (a * 256 + b) / 65536
end

-- Seconds until retry `number`; nil where there is none. `res` or `err` is what came of the one before.
local function pause_before(number, res, err)
  local busy = res and retries.is_busy(res.status)
  local passing = err and core.is_error(err) and retries.is_transient(err)
  if not busy and not passing then
    return nil
  end
  local asked = res and retries.retry_after(res.headers["retry-after"], tg.time(), tg.parse_http_date)
  if asked == false then
    return nil
  end
  return math.max(retries.delay(number, random()), asked or 0)
end

-- The same request, as often as it may be made.
local function send_again(client, request, ends)
  local most = request.idempotent and not request.pieces and request.set.retry or 0
  for number = 1, most + 1 do
    local ok, res = core.raw_xpcall(send, keep, client, request, ends)
    local pause = number <= most and pause_before(number, ok and res, not ok and res) or nil
    local goes_on = pause and not (ends and tg.now() + pause >= ends) and retries.spend(client.budget)
    if not goes_on and not ok then
      error(res, 0)
    elseif not goes_on then
      return res
    elseif ok then
      res:close()
    end
    tg.sleep(pause)
  end
end

local function send_one(client, request, ends)
  if request.set.retry == 0 then
    return send(client, request, ends)
  end
  return send_again(client, request, ends)
end

-- What an answer redirects to; nil where it is the answer.
local function follow(request, res)
  local location = res.headers.location
  if not redirect.is_redirect(res.status, location) then
    return nil
  end
  local made, why = redirect.follow(request, res.status, location, true)
  if not made then
    core.error_throw("redirects", ("%s: it redirects to what is no URL of http: %s"):format(requests.label(request),
      why), { status = 502 })
  elseif made.pieces and made.method == request.method then
    return nil -- what has gone cannot be sent again
  end
  made.pieces, made.length = nil, nil
  made.cookies = not made.crossed and made.cookies or nil
  made.idempotent = made.idempotent or retries.is_idempotent(made.method)
  return made
end

--- Makes a request and returns its response.
--- @param client table
--- @param request table
--- @return tidegate.HttpResponse
return function(client, request)
  local total = request.set.timeout.total
  local ends = total > 0 and tg.now() + total or nil
  retries.earn(client.budget)
  local most = request.set.redirects
  for _ = 0, most do
    local res = send_one(client, request, ends)
    local made = most > 0 and follow(request, res)
    if not made then
      return res
    end
    res:close()
    request = made
  end
  core.error_throw("redirects", ("%s: more than %d redirects"):format(requests.label(request), most), { status = 502 })
end
