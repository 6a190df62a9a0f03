-- tg.upstream: the groups of peers that `upstreams` of tidegate.lua names, seen and changed at run time. What is
-- changed holds for the whole process at once, and over reloads.

local core = require "tidegate._core.core"
local misuse = require("tidegate._core.arguments").misuse
local check_peer = require("tidegate._pure.upstreams").check_peer
local suggest = require "tidegate._pure.suggest"

local groups = core.open("upstream")

--- Called, `tg.upstream(name)` gives the upstream of that name in tidegate.lua. An unknown name is an error.
--- @class tidegate.upstream
--- @overload fun(name: string): tidegate.Upstream
local M = {}

--- The names of all upstreams, in order.
--- @return string[]
function M.names()
  return groups.names()
end

--- A peer as it is now.
--- @class tidegate.Peer
--- @field address string "10.0.0.1:80"
--- @field name string as it is listed: "api.internal:80", or the address
--- @field zone? string
--- @field state "up"|"warming"|"ejected"|"down"|"draining" `down`: its health checks fail
--- @field id string what a sticky cookie says
--- @field weight integer
--- @field priority integer
--- @field active integer requests under way
--- @field requests integer so far
--- @field failures integer of them
--- @field latency? number seconds to the head of an answer: a peak average
--- @field ejected_for? number seconds that are left of an ejection

--- An upstream as it is now.
--- @class tidegate.UpstreamStatus
--- @field breaker "closed"|"open"|"half_open"
--- @field active integer requests under way
--- @field waiting integer requests that wait for a place
--- @field limit integer requests at once; 0: no limit
--- @field requests integer picks of a peer so far, retries too
--- @field failures integer of them
--- @field retries integer
--- @field refused integer requests that got no peer or no place
--- @field mirrored integer copies of requests to others (`proxy.mirror`) that were sent
--- @field unmirrored integer copies that were not: too many, too long, broken off, or without a peer

--- @class tidegate.Upstream
--- @field name string
local Upstream = {}
Upstream.__index = Upstream

local function check_address(what, address)
  if type(address) ~= "string" then
    misuse(what .. ": an address expected, got " .. type(address))
  end
  return address
end

--- All of its peers, in the order of their listing.
--- @return tidegate.Peer[]
function Upstream:peers()
  return groups.peers(self.name)
end

--- Its breaker, its places and what it has done so far.
--- @return tidegate.UpstreamStatus
function Upstream:status()
  return groups.status(self.name)
end

--- Adds a peer: an address, or a table as in tidegate.lua. It is there until it is removed. False where it is there
--- already. Raises `overload` past 4096 peers.
--- @param peer string|table "127.0.0.1:9001", or { "127.0.0.1:9001", weight =, priority =, zone =, max_requests = }
--- @return boolean
function Upstream:add(peer)
  local given, problem = check_peer(peer, "the peer")
  if problem then
    misuse("upstream:add: " .. problem)
  end
  return groups.add(self.name, given)
end

--- A peer takes no new requests, or with `false` takes them again. What is under way goes on. The address of a peer,
--- or the name that peers are listed by. False where there is none.
--- @param address string
--- @param on? boolean true
--- @return boolean
function Upstream:drain(address, on)
  return groups.drain(self.name, check_address("upstream:drain", address), on ~= false)
end

--- Takes a peer away; what is under way goes on. One of tidegate.lua stays away until it is added again, or was taken
--- out there. False where there is none.
--- @param address string as it is listed
--- @return boolean
function Upstream:remove(address)
  return groups.remove(self.name, check_address("upstream:remove", address))
end

--- Changes the weight of a peer, until tidegate.lua itself says another one. False where there is none.
--- @param address string
--- @param weight integer 1 to 65535
--- @return boolean
function Upstream:weight(address, weight)
  check_address("upstream:weight", address)
  if type(weight) ~= "number" or not (weight >= 1 and weight <= 65535) or weight % 1 ~= 0 then
    misuse("upstream:weight: a weight is a whole number from 1 to 65535, got " .. tostring(weight))
  end
  return groups.weight(self.name, address, weight)
end

function Upstream:__tostring()
  return "upstream " .. self.name
end

local function upstream(_, name)
  if type(name) ~= "string" then
    misuse("tg.upstream: a name expected, got " .. type(name))
  elseif not groups.exists(name) then
    misuse(("tg.upstream: tidegate.lua has no upstream '%s'%s"):format(name, suggest.phrase(name, groups.names())))
  end
  return setmetatable({ name = name }, Upstream)
end

return setmetatable(M, { __call = upstream })
