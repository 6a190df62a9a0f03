-- tg.net: TCP, unix and UDP sockets, clients and listeners.
--
-- What is opened belongs to the request, job or script that has opened it and is closed at its end; `detach` moves it
-- to the application. Streams are of _core/duplex.lua. A listener and a UDP socket are tables around a descriptor of C
-- that is waited for and then used by hand.

local arguments = require "tidegate._core.arguments"
local client_tls = require "tidegate._core.client_tls"
local core = require "tidegate._core.core"
local tg = require "tidegate"
local failures = require "tidegate._core.failures"
local ops = tg._ops
require "tidegate._core.duplex"

local error, ipairs, pairs, setmetatable, tonumber, tostring, type =
  error, ipairs, pairs, setmetatable, tonumber, tostring, type
local throw = core.error_throw
local listener_c, udp_c = ops.net_listener(), ops.net_udp()
local raw_connect, wait_ready = ops.net_connect, ops.descriptor_wait

local CONNECT_TIMEOUT = 30 -- seconds
local SERVE_LIMIT = 1000 -- connections at the same time
local SHORT_PAUSE = 0.1 -- seconds, when no descriptor is left

--- @class tidegate.net
local M = {}

-- ---- arguments ----

local function misuse(name, text)
  error(name .. ": " .. text, 3)
end

-- Reads `options` against the names that there are; an unknown one is misuse of the caller's caller.
local function check_options(name, options, known)
  if options == nil then
    return {}
  elseif type(options) ~= "table" then
    error(name .. ": options expected as a table, got " .. type(options), 3)
  end
  for key, value in pairs(options) do
    local kind = known[key]
    if not kind then
      local names = {}
      for other in pairs(known) do
        names[#names + 1] = other
      end
      error(name .. ": no option " .. tostring(key)
        .. require("tidegate._pure.suggest").phrase(tostring(key), names, ""), 3)
    elseif not ("|" .. kind .. "|"):find("|" .. type(value) .. "|", 1, true) then
      error(name .. ": " .. key .. ": a " .. kind:gsub("|", " or ") .. " expected, got " .. type(value), 3)
    end
  end
  return options
end

-- "host:port", "[v6]:port", "unix:/path", or host and port apart. Returns host, port; or "unix:/path".
local function split(name, address, port)
  if type(address) ~= "string" then
    error(name .. ": an address expected (\"host:port\", \"[::1]:80\", \"unix:/path\"), got " .. type(address), 3)
  elseif address:sub(1, 5) == "unix:" then
    return address
  end
  local host, digits = address, port
  if port == nil then
    host, digits = address:match("^%[(.*)%]:(%d+)$")
    if not host then
      host, digits = address:match("^([^:]*):(%d+)$")
    end
  end
  local number = tonumber(digits)
  if not host or host == "" or not number or number % 1 ~= 0 or number < 0 or number > 65535 then
    error(name .. ": '" .. address .. (port ~= nil and "', " .. tostring(port) or "'")
      .. ": an address is \"host:port\", \"[::1]:80\" or \"unix:/path\"", 3)
  end
  return host:match("^%[(.*)%]$") or host, number
end

-- The second of two arguments is a port, or the options already.
local function shift(port, options)
  if type(port) == "table" then
    return nil, port
  end
  return port, options
end

local function shown(host, port)
  if not port then
    return host
  end
  return (host:find(":", 1, true) and "[" .. host .. "]" or host) .. ":" .. port
end

-- Does it need no looking up? A unix path has a colon, too.
local function is_numeric(host)
  return host:find(":", 1, true) or host:match("^%d+%.%d+%.%d+%.%d+$")
end

-- IPv6 and IPv4 by turns, beginning with the family of the first (RFC 8305, section 4).
local function interleave(addresses)
  local first, second, list = {}, {}, {}
  local is_v6 = addresses[1]:find(":", 1, true) ~= nil
  for _, address in ipairs(addresses) do
    local same = (address:find(":", 1, true) ~= nil) == is_v6
    local family = same and first or second
    family[#family + 1] = address
  end
  for i = 1, #addresses do
    list[#list + 1] = first[i]
    list[#list + 1] = second[i]
  end
  return list
end

-- The addresses of a host, in the order to try them.
local function resolve(name, host)
  if is_numeric(host) then
    return { host }
  elseif host:lower() == "localhost" then
    return { "::1", "127.0.0.1" }
  end
  local addresses = tg.dns.lookup(host)
  if not addresses[1] then
    throw("not_found", name .. ": '" .. host .. "' has no address")
  end
  return interleave(addresses)
end

-- ---- clients ----

local connect_options = {
  timeout = "number", bind = "string", nodelay = "boolean", keepalive = "number", tls = "boolean|table",
}

--- @class tidegate.ConnectOptions
--- @field timeout? number seconds, with looking up the name and TLS (30)
--- @field bind? string our own address
--- @field nodelay? boolean send small writes at once (true)
--- @field keepalive? number seconds of silence after which the kernel asks whether the other side is there
--- @field tls? boolean|tidegate.ConnectTls speak TLS

--- @class tidegate.ConnectTls
--- @field ca? string who is trusted (the system's certificates), PEM
--- @field cert? string our own certificate, PEM
--- @field key? string its key, PEM
--- @field name? string whom the certificate must be for (the host)
--- @field verify? boolean chain and name (true)
--- @field min? string "1.2", "1.3"
--- @field alpn? string[] protocols to offer

local NAME_MAX = 253 -- RFC 1035
local ALPN_MAX = 255 -- all of them, with a length each

-- { "h2", "http/1.1" } as "h2,http/1.1"
local function join_protocols(names)
  if names == nil then
    return nil
  end
  for i = 1, #names do
    local name = names[i]
    if type(name) ~= "string" or name == "" or name:find("[,%c]") then
      arguments.misuse("tg.net.connect: tls.alpn is a list of names of protocols, without commas")
    end
  end
  local joined = table.concat(names, ",")
  if joined == "" or #joined >= ALPN_MAX then
    arguments.misuse("tg.net.connect: tls.alpn has names of protocols, of at most " .. ALPN_MAX .. " bytes together")
  end
  return joined
end

-- Whom the certificate must be for is never left open, unless nothing is verified.
local function read_tls(tls, host)
  if not tls then
    return nil
  end
  tls = tls == true and {} or tls
  local settings = client_tls.read("tg.net.connect", tls, { alpn = "table" })
  local name = settings.name or not host:find("^unix:") and host or ""
  if #name > NAME_MAX or name:find("%z") or name == "" and tls.verify ~= false then
    arguments.misuse("tg.net.connect: tls.name is the name that the certificate must have, of 1 to " .. NAME_MAX
      .. " bytes")
  end
  return settings.context, name, join_protocols(tls.alpn)
end

--- Connects a TCP or unix socket. ⏸
--- All addresses of a name are tried, IPv6 and IPv4 by turns, each 250 ms after the one before or as soon as that has
--- failed; the first that answers wins (RFC 8305). Errors: `refused`, `timeout`, `unreachable`, `not_found`, `tls`.
--- With `tls` the connection is secured before it is returned: `true`, or a table whose files are PEM. The other side's
--- certificate is verified, with the system's or those of `ca`, and its name: `name`, or the host.
--- @param address string "host:port", "[::1]:80", "unix:/path", or a host
--- @param port? integer after a host
--- @param options? tidegate.ConnectOptions
--- @return tidegate.Stream
function M.connect(address, port, options)
  local host
  port, options = shift(port, options)
  host, port = split("tg.net.connect", address, port)
  options = check_options("tg.net.connect", options, connect_options)
  local timeout = options.timeout or CONNECT_TIMEOUT
  if not (timeout > 0 and timeout <= 1e9) then
    misuse("tg.net.connect", "timeout: seconds above 0 expected, got " .. tostring(timeout))
  end
  local label = "tg.net.connect: " .. shown(host, port)
  local tls, name, alpn = read_tls(options.tls, host)
  local addresses
  if is_numeric(host) then
    addresses = { host }
  else
    local start = tg.now()
    addresses = tg.timeout(timeout, resolve, "tg.net.connect", host)
    timeout = timeout - (tg.now() - start)
  end
  return raw_connect(label, addresses, port, timeout, options.bind, options.nodelay, options.keepalive, tls, name, alpn)
end

-- ---- listeners ----

--- A listening socket.
--- @class tidegate.Listener
--- @field address string where it listens, with the real port
--- @field closed boolean
local Listener = {}

local listen_options = { reuse_port = "boolean" }

--- Listens at an address; port 0 takes a free one, see `address`. A unix socket that nobody listens at any more is
--- replaced; ours is removed when it is closed. Errors: `in_use`, `denied`, `no_address`. ⏸ for a host
--- @param address string "127.0.0.1:0", "[::1]:8000", "unix:/path", or a host
--- @param port? integer after a host
--- @param options? { reuse_port?: boolean } share the port with other listeners that do, as of other loops
--- @return tidegate.Listener
function M.listen(address, port, options)
  local host
  port, options = shift(port, options)
  host, port = split("tg.net.listen", address, port)
  options = check_options("tg.net.listen", options, listen_options)
  local label = "tg.net.listen: " .. shown(host, port)
  if host:lower() == "localhost" then
    host = "127.0.0.1"
  end
  local descriptor, name = listener_c.listen(label, resolve("tg.net.listen", host)[1], port, options.reuse_port)
  return setmetatable({ address = name, _descriptor = descriptor }, Listener)
end

--- Waits for a client and returns its socket. Where no descriptor is left it waits until there is one. ⏸
--- Raises `closed` when the listener is closed meanwhile.
--- @return tidegate.Stream
function Listener:accept()
  while true do
    local stream = listener_c.accept(self._descriptor)
    if stream then
      return stream
    elseif stream == nil then
      tg.sleep(SHORT_PAUSE)
    else
      wait_ready(self._descriptor)
    end
  end
end

-- accept for loops: nil once the listener is closed.
local function next_client(listener)
  while not listener.closed do
    local stream, err = tg.try(listener.accept, listener)
    if stream then
      return stream
    elseif err.code ~= "closed" then
      error(err, 0)
    end
  end
end

local serve_options = { limit = "number" }

local function serve_one(name, fn, stream, slots)
  tg.defer(function()
    stream:close()
    slots:release()
  end)
  local ok, err = core.raw_xpcall(function() return fn(stream) end, failures.on_error)
  if not ok and core.is_cancelled(err) then
    error(err, 0)
  elseif not ok then
    failures.report(name .. " failed", err)
  end
end

--- Calls fn(stream) in a task of its own for every client, and closes the stream after it; errors of fn are logged. ⏸
--- Ends when the listener is closed, after the last of the tasks; cancelling it cancels them.
--- @param fn fun(stream: tidegate.Stream)
--- @param options? { limit?: integer } clients at the same time (1000); more wait in the kernel
function Listener:serve(fn, options)
  if type(fn) ~= "function" then
    throw("not_function", "listener:serve: got " .. type(fn) .. "; pass a function of a stream")
  end
  options = check_options("listener:serve", options, serve_options)
  local slots = tg.semaphore(options.limit or SERVE_LIMIT)
  local name = "a client of " .. tostring(self)
  tg.scope(function(scope)
    slots:acquire()
    for stream in self do
      scope:spawn(serve_one, name, fn, stream, slots)
      slots:acquire()
    end
  end)
end

--- Stops listening; a task that waits in `accept` gets `closed`. Sockets that were accepted stay.
function Listener:close()
  self._descriptor:close()
end

--- Takes the listener out of its request: it lives until it is closed, or the application ends.
--- @return tidegate.Listener
function Listener:detach()
  self._descriptor:detach()
  return self
end

function Listener:__index(key)
  if key == "closed" then
    return self._descriptor:closed()
  end
  return Listener[key]
end

-- for stream in listener do
Listener.__call = next_client

function Listener:__tostring()
  return "listener " .. self.address
end

-- ---- UDP ----

--- A UDP socket. What has come and was not received waits in the kernel, which drops what is too much.
--- @class tidegate.Udp
--- @field address string|nil where it is bound, once it is
--- @field closed boolean
local Udp = {}

--- Makes a UDP socket. Without an address the kernel binds it when it first sends. ⏸ for a host
--- @param address? string "127.0.0.1:0", "[::1]:53", or a host
--- @param port? integer after a host
--- @return tidegate.Udp
function M.udp(address, port)
  local udp = setmetatable({}, Udp)
  if address == nil then
    return udp
  end
  local host
  host, port = split("tg.net.udp", address, port)
  if not port then
    misuse("tg.net.udp", "'" .. host .. "': a unix path is no address of UDP")
  end
  local numeric = host:lower() == "localhost" and "127.0.0.1" or resolve("tg.net.udp", host)[1]
  udp._descriptor = udp_c.open("tg.net.udp: " .. shown(host, port), numeric, port, true)
  return udp
end

-- The descriptor; one that was not bound is made when the family is known.
local function descriptor_for(udp, host)
  if not udp._descriptor then
    if udp._closed then
      throw("closed", "udp socket: it is closed")
    end
    udp._descriptor = udp_c.open("tg.net.udp", host, 0, false)
  end
  return udp._descriptor
end

-- An address of the family that the socket has.
local function pick(udp, name, host)
  local addresses = resolve(name, host)
  local own = udp.address
  if own then
    local is_v6 = own:sub(1, 1) == "["
    for _, address in ipairs(addresses) do
      if (address:find(":", 1, true) ~= nil) == is_v6 then
        return address
      end
    end
  elseif host:lower() == "localhost" then
    return "127.0.0.1"
  end
  return addresses[1]
end

local function send(udp, data, host, port)
  if type(data) ~= "string" then
    error("udp socket: a string expected, got " .. type(data), 3)
  end
  local descriptor = descriptor_for(udp, host)
  while not udp_c.send(descriptor, data, host, port) do
    wait_ready(descriptor, true)
  end
end

--- Sends one datagram. ⏸
--- @param data string at most 65507 bytes, else `too_large`
--- @param address string "host:port", or a host
--- @param port? integer after a host
function Udp:send_to(data, address, port)
  local host
  host, port = split("udp:send_to", address, port)
  send(self, data, pick(self, "udp:send_to", host), port)
end

--- Fixes the other end: `send` goes there, and `receive` takes nothing from elsewhere. ⏸ for a host
--- @param address string "host:port", or a host
--- @param port? integer after a host
--- @return tidegate.Udp
function Udp:connect(address, port)
  local host
  host, port = split("udp:connect", address, port)
  local numeric = pick(self, "udp:connect", host)
  udp_c.connect(descriptor_for(self, numeric), numeric, port)
  return self
end

--- Sends one datagram to where the socket is connected. ⏸
--- @param data string
function Udp:send(data)
  if not self._descriptor then
    throw("closed", "udp:send: not connected; use connect, or send_to")
  end
  send(self, data)
end

--- Waits for a datagram; returns it and where it came from. ⏸
--- @return string data
--- @return string from
function Udp:receive()
  local descriptor = self._descriptor
  if not descriptor then
    throw("closed", "udp:receive: bound to no address yet; use tg.net.udp(address), connect or send_to first")
  end
  while true do
    local data, from = udp_c.receive(descriptor)
    if data then
      return data, from
    end
    wait_ready(descriptor)
  end
end

--- Closes it; a task that waits in `receive` gets `closed`.
function Udp:close()
  self._closed = true
  if self._descriptor then
    self._descriptor:close()
  end
end

--- Takes the socket out of its request: it lives until it is closed, or the application ends.
--- @return tidegate.Udp
function Udp:detach()
  if self._descriptor then
    self._descriptor:detach()
  end
  return self
end

function Udp:__index(key)
  if key == "closed" then
    return self._closed or self._descriptor ~= nil and self._descriptor:closed() or false
  elseif key == "address" then
    return self._descriptor and udp_c.name(self._descriptor)
  elseif key == "_descriptor" or key == "_closed" then
    return nil
  end
  return Udp[key]
end

return M
