-- Requests of tg.http: made of a URL and options, and sent once. Redirects and retries are in http_perform.lua.
--
-- A request is a table: method, url (_pure/http_url.lua), fields (lower-case name -> { name, value | values } or
-- false), body (a string), pieces (what gives them, for a body that streams; it comes only once), length of those,
-- cookies, and `set`, the settings (http_options.lua).

local core = require "tidegate._core.core"
local cookie_field = require "tidegate._core.cookie_field"
local form_data = require "tidegate._pure.form_data"
local misuse = require("tidegate._core.arguments").misuse
local options = require "tidegate._core.http_options"
local response = require "tidegate._core.http_response"
local retries = require "tidegate._pure.http_retry"
local sorted_keys = require "tidegate._pure.sorted_keys"
local tg = require "tidegate"
local urls = require "tidegate._pure.http_url"

local ops = tg._ops
local plain = ops.http_call()
local read_head, write = ops.http_head, ops.http_write

local M = {}

local CODINGS = "gzip, deflate, br, zstd"

-- ---- the body ----

-- An iterator over what streams: a function itself, or what has `chunks`: a request, a response, a file, a stream.
local function pieces_of(what, body)
  if type(body) == "function" then
    return body
  end
  local ok, chunks = core.raw_pcall(function() return body.chunks end)
  if not ok or type(chunks) ~= "function" then
    misuse(what .. ": body is a string, a function that returns the next piece, or something with chunks, such as req")
  end
  return chunks(body)
end

-- Those that are known are announced (RFC 9110 section 6.6.2); those that a function makes, by who knows their names.
local function add_trailers(what, request, trailers)
  request.trailers = trailers
  if type(trailers) ~= "table" then
    return
  end
  request.trailers = options.trailers(what, trailers)
  local names = {}
  for i = 1, #request.trailers, 2 do
    names[#names + 1] = request.trailers[i] ~= request.trailers[i - 2] and request.trailers[i] or nil
  end
  if request.fields.trailer == nil and #names > 0 then
    request.fields.trailer = { "Trailer", table.concat(names, ", ") }
  end
end

local function add_body(what, request, opts)
  local kind
  if opts.files then
    request.body, kind = form_data.multipart(opts.form, opts.files)
  elseif opts.json ~= nil then
    request.body, kind = tg.json.encode(opts.json), "application/json"
  elseif opts.form then
    request.body, kind = form_data.pairs(opts.form), "application/x-www-form-urlencoded"
  elseif type(opts.body) == "string" then
    request.body = opts.body
  elseif opts.body ~= nil then
    request.pieces, request.length = pieces_of(what, opts.body), opts.length
    add_trailers(what, request, opts.trailers)
  end
  if kind and request.fields["content-type"] == nil then
    request.fields["content-type"] = { "Content-Type", kind }
  end
end

-- ---- the whole ----

local function read_url(what, client, text)
  if type(text) ~= "string" then
    misuse(what .. ": a URL expected, got " .. type(text))
  end
  local base = client.base
  if base and not text:find("^%a[%w+.-]*://") then
    text = urls.join(client.base_text, text)
  end
  local url, why = urls.parse(text)
  if not url then
    misuse(("%s: '%s': %s"):format(what, text:gsub("%c", "?"):sub(1, 200), why))
  elseif base and not urls.same_origin(base, url) then
    -- what the client sends along, such as a key, is for its own server
    misuse(("%s: %s is not of %s, the base of this client"):format(what, urls.label(url), base.authority))
  end
  return url
end

local function add_query(url, query)
  local text = query and form_data.pairs(query) or ""
  if text ~= "" then
    url.target = url.target .. (url.target:find("?", 1, true) and "&" or "?") .. text
  end
end

--- @param what string the call
--- @param client table
--- @param method any
--- @param text any the URL
--- @param opts any
--- @return table request
function M.new(what, client, method, text, opts)
  local set
  set, opts = options.request(what, client, opts)
  if type(method) ~= "string" or not method:find("^[%u%l%d!#$%%&'*+.^_`|~-]+$") or method:upper() == "CONNECT" then
    misuse(what .. ": the method is a word, such as \"GET\"")
  end
  local url = read_url(what, client, text)
  add_query(url, opts.query)
  local request = { method = method, url = url, fields = set.fields, set = set, cookies = opts.cookies,
    expect = opts.expect }
  add_body(what, request, opts)
  request.idempotent = opts.idempotent == nil and retries.is_idempotent(method) or opts.idempotent or false
  if url.user and request.fields.authorization == nil then
    request.fields.authorization = { "Authorization", options.basic(url.user, url.password) }
  end
  if set.decompress ~= false and request.fields["accept-encoding"] == nil then
    request.fields["accept-encoding"] = { "Accept-Encoding", CODINGS }
    request.decode = true
  end
  request.decode = request.decode or set.decompress or false
  return request
end

--- What a failure says it happened to: without the query, which may hold what is not for logs.
--- @param request table
--- @return string
function M.label(request)
  return request.method .. " " .. urls.label(request.url)
end

-- ---- sending it ----

-- Where a request goes to, as cookies see it.
local function place_of(url)
  return { host = url.host, path = url.target:match("^[^?]*"), secure = url.secure }
end

M.place_of = place_of

-- Names and values by turns.
local function field_list(client, request)
  local out, fields = {}, request.fields
  for _, key in ipairs(sorted_keys(fields)) do
    local field = fields[key]
    if field and key ~= "host" and key ~= "expect" then
      for _, value in ipairs(type(field[2]) == "table" and field[2] or { field[2] }) do
        out[#out + 1], out[#out + 2] = field[1], tostring(value)
      end
    end
  end
  local cookies = not fields.cookie and cookie_field("tg.http", client.jar, place_of(request.url), request.cookies)
  if cookies then
    out[#out + 1], out[#out + 2] = "Cookie", cookies
  end
  return out
end

local default

-- That of clients which say nothing: the system's certificates, read when the first https is asked for.
local function default_tls()
  default = default or { context = plain.tls() }
  return default
end

-- Whom the connection goes to: the server, a unix socket, or a proxy that is asked for the whole URL.
local function aim(client, spec, request)
  local url, set = request.url, request.set
  spec.target = url.target
  spec.host, spec.port, spec.secure = url.host, url.port, url.secure
  if url.secure then
    local tls = client.tls or default_tls()
    spec.tls, spec.tls_name = tls.context, tls.name or url.host
  end
  local proxy = set.proxy
  if set.unix then
    spec.host, spec.port = "unix:" .. set.unix, 0
  elseif proxy then
    local login = proxy.user and options.basic(proxy.user, proxy.password)
    if url.secure then
      spec.proxy_host, spec.proxy_port, spec.proxy_auth = proxy.host, proxy.port, login
    else
      spec.host, spec.port, spec.target = proxy.host, proxy.port, urls.format(url)
      if login then
        spec.fields[#spec.fields + 1], spec.fields[#spec.fields + 2] = "Proxy-Authorization", login
      end
    end
  end
end

local function host_of(request)
  local given = request.fields.host
  return given and tostring(given[2]) or request.url.authority
end

-- What is left of the time for all of it; raises where there is none.
local function total_left(request, ends)
  if not ends then
    return 0
  end
  local left = ends - tg.now()
  if left <= 0 then
    core.error_throw("timeout", M.label(request) .. ": timed out (total)", { status = 504, which = "total" })
  end
  return left
end

-- Sends a body that streams, until the reply is there.
local function feed(call, request)
  for piece in request.pieces do
    if type(piece) ~= "string" and type(piece) ~= "number" then
      core.error_throw("bad_body", M.label(request) .. ": a piece of the body is a string, got " .. type(piece))
    end
    piece = tostring(piece)
    if piece ~= "" and not write(call, piece) then
      return
    end
  end
  local trailers = request.trailers
  if type(trailers) == "function" then
    trailers = trailers()
    trailers = trailers ~= nil and options.trailers(M.label(request), trailers) or nil
  end
  plain.ended(call, trailers)
end

local function keep(err)
  return err
end

-- Nothing may be left of a call whose body cannot be made: not even its beginning looks whole.
local function feed_or_close(call, request)
  local ok, err = core.raw_xpcall(feed, keep, call, request)
  if not ok then
    plain.close(call)
    error(err, 0)
  end
end

--- Sends a request and waits for the head of its reply.
--- @param client table
--- @param request table
--- @param ends number? when its time is over
--- @return tidegate.HttpResponse
function M.send(client, request, ends)
  local timeout = request.set.timeout
  local spec = {
    label = M.label(request), method = request.method, authority = host_of(request),
    fields = field_list(client, request), body = request.body, streamed = request.pieces ~= nil,
    length = request.length, expect = request.expect, idempotent = request.idempotent,
    gate = client.gate, limit = client.limit, per_host = client.per_host,
    connect = timeout.connect, first_byte = timeout.first_byte, idle = timeout.idle, total = total_left(request, ends),
  }
  aim(client, spec, request)
  if client.per_host > 0 then
    spec.host_gate = client.gate .. "\n" .. spec.host .. ":" .. spec.port
  end
  local call = plain.start(spec)
  if request.pieces then
    feed_or_close(call, request)
  end
  local res = response.new(request, call, read_head(call, request.decode))
  if client.jar then
    client.jar:_store(res:all("set-cookie"), place_of(request.url))
  end
  return res
end

return M
