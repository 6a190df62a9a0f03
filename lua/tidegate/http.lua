-- tg.http: requests of other servers.
--
-- The bytes are C's (core/await/http_*.c over core/upstream/call.h), which also keeps the connections, one pool to a
-- loop or worker. What a request is made of is in _core/http_options.lua and http_request.lua, redirects and retries
-- in http_perform.lua, the response in http_response.lua.

local core = require "tidegate._core.core"
local options = require "tidegate._core.http_options"
local perform = require "tidegate._core.http_perform"
local requests = require "tidegate._core.http_request"
local tg = require "tidegate"

--- @class tidegate.http_timeouts
--- @field connect? number seconds until the connection is open, with looking up the name and TLS (10)
--- @field first_byte? number seconds from the request's end to the head of the response (60)
--- @field idle? number seconds without a byte of the body, in either direction (60)
--- @field total? number seconds for all of it, with redirects, retries and the body (300)

--- @class tidegate.http_options
--- @field headers? table<string, any> header fields; a list is a field that comes again, `false` leaves one out
--- @field query? table<string, any> is added to the URL, encoded; a list is a name that comes again
--- @field json? any the body, as JSON; its content type is set
--- @field form? table<string, any> the body, as a form; its content type is set
--- @field files? table<string, table> files of a form: {filename=, type=, body=}, or a list of those; with `form` both
---   are one multipart body
--- @field body? string|function|table the body as it stands; a function that returns the next piece, nil at the end; or
---   what has `chunks`: `req`, another response, a stream
--- @field length? integer bytes of a body that comes in pieces; without it they are sent chunked
--- @field trailers? table<string, any>|fun(): table<string, any>|nil fields that follow a body in pieces without
---   `length`; a function is asked for them after the last piece
--- @field auth? string[] {user, password}
--- @field bearer? string a token
--- @field cookies? table<string, any> are sent besides those of the client
--- @field timeout? number|tidegate.http_timeouts seconds; a number is `total`; 0: no limit
--- @field redirects? integer|boolean how many to follow (5); 0 or false: none
--- @field retry? integer|boolean how often to try again what is idempotent (0)
--- @field idempotent? boolean may the request be made twice? As its method says
--- @field expect? boolean wait for `100 Continue` before the body
--- @field decompress? boolean take content codings off (true, unless `headers` say what to accept)
--- @field max_body? integer most bytes of `res:text()` and `res:json()` (64 MiB)
--- @field unix? string path of a unix socket to send the request to
--- @field proxy? string URL of a forward proxy

--- @class tidegate.http_client_options
--- @field base? string URL that is put before the paths of requests, which then go nowhere else
--- @field headers? table<string, any> of each request; a request may give others
--- @field cookies? boolean keep cookies (false)
--- @field auth? string[] {user, password}
--- @field bearer? string a token
--- @field timeout? number|tidegate.http_timeouts
--- @field redirects? integer|boolean
--- @field retry? integer|boolean
--- @field decompress? boolean
--- @field max_body? integer
--- @field unix? string
--- @field proxy? string
--- @field tls? { ca?: string, cert?: string, key?: string, name?: string, verify?: boolean, min?: string } PEM files:
---   who is trusted (the system's store), our certificate and its key; the name to check (the URL's host); check the
---   other side (true); "1.2" or "1.3"
--- @field limit? integer calls at the same time (100; 0: no limit); more wait for their turn, in order of coming
--- @field per_host? integer the same for each host and port (0: no limit)

--- @class tidegate.http
local M = {}

--- A client with settings of its own.
--- @class tidegate.HttpClient
--- @field cookies tidegate.CookieJar|nil
local Client = {}
Client.__index = Client

-- What has the same `gate` is limited together, in all loops and workers.
local function new_client(opts, gate)
  local settings = options.client(opts)
  settings.gate = gate
  local jar = opts and opts.cookies and require("tidegate._pure.cookie_jar").new(tg.time) or nil
  settings.jar = jar
  return setmetatable({ cookies = jar, _settings = settings }, Client)
end

local plain = new_client(nil, "tg.http")

local function request(client, what, method, url, opts)
  local settings = client._settings
  return perform(settings, requests.new(what, settings, method, url, opts))
end

-- A table that says everything: method and url among the options.
local function request_of(client, what, opts)
  if type(opts) ~= "table" then
    require("tidegate._core.arguments").misuse(what .. ": a table {method=, url=, ...} expected, got " .. type(opts))
  end
  return request(client, what, opts.method or "GET", opts.url, opts)
end

--- Makes a client: its settings hold for each of its requests, unless those say otherwise. Clients that are made at the
--- same line are one as to `limit` and `per_host`, in all loops and workers.
--- @param opts? tidegate.http_client_options
--- @return tidegate.HttpClient
function M.client(opts)
  return new_client(opts, core.caller(1) or "")
end

--- Makes a request and returns its response when the head of it is there, whatever the status. ⏸
--- Errors: `timeout` (`err.which` says of what), `refused`, `reset`, `closed`, `unreachable`, `not_found`, `tls`,
--- `bad_reply`, `redirects`, `too_large`, `overload`.
--- @param opts tidegate.http_options with `method` (GET) and `url`
--- @return tidegate.HttpResponse
function M.request(opts)
  return request_of(plain, "tg.http.request", opts)
end

--- GET, as `tg.http.request`. ⏸
--- @param url string
--- @param opts? tidegate.http_options
--- @return tidegate.HttpResponse
function M.get(url, opts)
  return request(plain, "tg.http.get", "GET", url, opts)
end

--- HEAD, as `tg.http.request`. ⏸
--- @param url string
--- @param opts? tidegate.http_options
--- @return tidegate.HttpResponse
function M.head(url, opts)
  return request(plain, "tg.http.head", "HEAD", url, opts)
end

--- POST, as `tg.http.request`. ⏸
--- @param url string
--- @param opts? tidegate.http_options
--- @return tidegate.HttpResponse
function M.post(url, opts)
  return request(plain, "tg.http.post", "POST", url, opts)
end

--- PUT, as `tg.http.request`. ⏸
--- @param url string
--- @param opts? tidegate.http_options
--- @return tidegate.HttpResponse
function M.put(url, opts)
  return request(plain, "tg.http.put", "PUT", url, opts)
end

--- PATCH, as `tg.http.request`. ⏸
--- @param url string
--- @param opts? tidegate.http_options
--- @return tidegate.HttpResponse
function M.patch(url, opts)
  return request(plain, "tg.http.patch", "PATCH", url, opts)
end

--- DELETE, as `tg.http.request`. ⏸
--- @param url string
--- @param opts? tidegate.http_options
--- @return tidegate.HttpResponse
function M.delete(url, opts)
  return request(plain, "tg.http.delete", "DELETE", url, opts)
end

--- OPTIONS, as `tg.http.request`. ⏸
--- @param url string
--- @param opts? tidegate.http_options
--- @return tidegate.HttpResponse
function M.options(url, opts)
  return request(plain, "tg.http.options", "OPTIONS", url, opts)
end

--- As `tg.http.request`. ⏸
--- @param opts tidegate.http_options with `method` (GET) and `url`
--- @return tidegate.HttpResponse
function Client:request(opts)
  return request_of(self, "client:request", opts)
end

--- GET. ⏸
--- @param url string a path, where the client has a base
--- @param opts? tidegate.http_options
--- @return tidegate.HttpResponse
function Client:get(url, opts)
  return request(self, "client:get", "GET", url, opts)
end

--- HEAD. ⏸
--- @param url string a path, where the client has a base
--- @param opts? tidegate.http_options
--- @return tidegate.HttpResponse
function Client:head(url, opts)
  return request(self, "client:head", "HEAD", url, opts)
end

--- POST. ⏸
--- @param url string a path, where the client has a base
--- @param opts? tidegate.http_options
--- @return tidegate.HttpResponse
function Client:post(url, opts)
  return request(self, "client:post", "POST", url, opts)
end

--- PUT. ⏸
--- @param url string a path, where the client has a base
--- @param opts? tidegate.http_options
--- @return tidegate.HttpResponse
function Client:put(url, opts)
  return request(self, "client:put", "PUT", url, opts)
end

--- PATCH. ⏸
--- @param url string a path, where the client has a base
--- @param opts? tidegate.http_options
--- @return tidegate.HttpResponse
function Client:patch(url, opts)
  return request(self, "client:patch", "PATCH", url, opts)
end

--- DELETE. ⏸
--- @param url string a path, where the client has a base
--- @param opts? tidegate.http_options
--- @return tidegate.HttpResponse
function Client:delete(url, opts)
  return request(self, "client:delete", "DELETE", url, opts)
end

--- OPTIONS. ⏸
--- @param url string a path, where the client has a base
--- @param opts? tidegate.http_options
--- @return tidegate.HttpResponse
function Client:options(url, opts)
  return request(self, "client:options", "OPTIONS", url, opts)
end

return M
