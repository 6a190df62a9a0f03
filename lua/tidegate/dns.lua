-- tg.dns: names of the outside world. What is asked and kept is in core/loop/resolver.c.

local core = require "tidegate._core.core"
local suggest = require "tidegate._pure.suggest"
local tg = require "tidegate"

local ops = tg._ops
local lookup, resolve, reverse, flush = ops.dns_lookup, ops.dns_resolve, ops.dns_reverse, ops.dns_flush
local ipairs, pairs, tostring, type = ipairs, pairs, tostring, type

--- @class tidegate.dns
local M = {}

local function misuse(text)
  error(core.caller(1) .. ": " .. text, 0)
end

local function check_options(options)
  if type(options) ~= "table" then
    misuse("tg.dns.lookup: options are a table such as { family = 4 }, not " .. type(options))
  end
  for key in pairs(options) do
    if key ~= "family" and key ~= "port" then
      misuse("tg.dns.lookup: unknown option '" .. tostring(key) .. "'"
        .. suggest.phrase(tostring(key), { "family", "port" }))
    end
  end
  local family, port = options.family, options.port
  if family ~= nil and family ~= 4 and family ~= 6 then
    misuse("tg.dns.lookup: family is 4 or 6, not " .. tostring(family))
  end
  if port ~= nil and not (type(port) == "number" and port % 1 == 0 and port >= 0 and port <= 65535) then
    misuse("tg.dns.lookup: port is a number from 0 to 65535, not " .. tostring(port))
  end
  return family, port
end

--- Addresses of a host, in the order in which they are to be tried (RFC 6724). ⏸
---
--- An address stands for itself, `localhost` for the loopback; then the hosts file is asked, then the DNS, with the
--- search domains of resolv.conf. Raises `not_found`, `timeout`, `dns_servfail`, `dns_refused`, `dns_unreachable`.
--- @param name string
--- @param options? { family?: 4|6, port?: integer } with `port`, each address has it: "127.0.0.1:80", "[::1]:80"
--- @return string[] addresses at least one
function M.lookup(name, options)
  if options == nil then
    return lookup(name)
  end
  local family, port = check_options(options)
  local list = lookup(name, family)
  for i, address in ipairs(port and list or {}) do
    list[i] = (address:find(":", 1, true) and "[%s]:%d" or "%s:%d"):format(address, port)
  end
  return list
end

-- SRV and MX: the lower priority first, of equal ones the greater weight; else the order of the server.
local function sort(records)
  local place = {}
  for i, record in ipairs(records) do
    place[record] = i
  end
  table.sort(records, function(a, b)
    if a.priority ~= b.priority then
      return a.priority < b.priority
    elseif a.weight ~= b.weight then
      return a.weight > b.weight
    end
    return place[a] < place[b]
  end)
  return records
end

--- Records of a name as they stand in the DNS: no hosts file, no search domains. ⏸
---
--- Each has its `ttl`, in seconds, and by its type: A, AAAA `address`; CNAME, NS, PTR `host`; MX `host priority`;
--- SRV `host port priority weight`; TXT `text parts`; CAA `flags tag value`; SOA `host mailbox serial refresh retry
--- expire minimum`. MX and SRV come in the order of their priorities.
--- @param name string
--- @param kind "A"|"AAAA"|"CAA"|"CNAME"|"MX"|"NS"|"PTR"|"SOA"|"SRV"|"TXT"
--- @return table[] records at least one
function M.resolve(name, kind)
  local records = resolve(name, kind)
  return (kind == "SRV" or kind == "MX") and sort(records) or records
end

--- Names of an address: those of the hosts file, else those of its PTR records. ⏸
--- @param address string
--- @return string[] names at least one
function M.reverse(address)
  return reverse(address)
end

--- Forgets every answer that this loop, or worker, has kept.
function M.flush()
  flush()
end

return M
