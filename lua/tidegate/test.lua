-- tg.test: requests of the application, in this process and without a port, or of a live server (--live). Works in
-- `tidegate test`. How a request reaches the application is core.testing.send (_core/testing.lua); WebSockets of tests
-- will be a method of the client that takes the same way.

local core = require "tidegate._core.core"
local tg = require "tidegate"

local throw = core.error_throw

-- What works in tests only; a module that routes may touch stays small where there are none.
local function part(name)
  if not core.testing then
    throw("not_available", "tg.test: works in `tidegate test` only")
  end
  return require("tidegate._core." .. name)
end

--- @class tidegate.test
--- @field live boolean do the tests run against a live server (`--live`)?
local M = {}

--- @class tidegate.test_options
--- @field headers? table<string, string|number> header fields of the request
--- @field query? table<string, any> is added to the path, encoded; a list is a name that comes again
--- @field json? any the body, as JSON; its content type is set
--- @field form? table<string, any> the body, as a form; its content type is set
--- @field files? table<string, table> files of a form: {filename=, type=, body=}, or a list of those; with `form` both
---   are one multipart body
--- @field body? string the body as it stands
--- @field cookies? table<string, string> are sent besides those of the client's jar
--- @field follow? boolean follow redirects of the same server, ten at most
--- @field stream? boolean return when the head is there; the body is read by `chunks`, `lines` and `events`
--- @field timeout? number seconds until the answer is there, with `stream` until its head is; else `timeout` is raised

--- @class tidegate.test_client_options
--- @field headers? table<string, string|number> of each request; a request may give others
--- @field cookies? boolean keep cookies (true)
--- @field base? string is put before each path: "/v1"
--- @field override? table<any, any> as `tg.test.override` for each
--- @field follow? boolean
--- @field timeout? number

--- @class tidegate.ServerSentEvent
--- @field event string its type; "message" where it names none
--- @field data string its lines, a line feed between them
--- @field id string the last id that came up to it; "" before the first
--- @field retry integer? milliseconds after which to come back, where it says so

--- A client with cookies and defaults of its own. `head` and `options` as methods, too.
--- @class tidegate.TestClient
--- @field cookies tidegate.CookieJar|nil
local Client = {}
Client.__index = Client

local REDIRECTS_MAX = 10

-- --- one request -------------------------------------------------------------------------------------------------

-- Where a request goes to, as cookies see it.
local function place_of(request)
  local host = tostring(request.fields.host[2]):lower():gsub(":%d+$", "")
  return { host = host:match("^%[(.*)%]$") or host, path = request.path:match("^[^?]*"), secure = false }
end

-- One request and its answer; what a test that fails will show.
local function send(client, request, opts)
  local requests, last = part("test_request"), { line = request.method .. " " .. request.path }
  core.testing.last = last
  local cookies = not request.fields.cookie
    and require("tidegate._core.cookie_field")("tg.test", client.cookies, place_of(request), opts.cookies) or nil
  local bytes = requests.bytes(request, cookies)
  local head, body, whole = core.testing.send(request.method, bytes, opts.stream or false)
  local res = part("test_answer").new(request, head, body, whole)
  last.status, last.body = res.status, res._text or nil
  if client.cookies then
    client.cookies:_store(res:all("set-cookie"), place_of(request))
  end
  return res
end

local function perform(client, request, opts)
  local res = send(client, request, opts)
  for _ = 1, opts.follow and REDIRECTS_MAX + 1 or 0 do
    request = part("test_request").follow(request, res.status, res.headers.location)
    if not request then
      return res
    end
    res:close()
    res = send(client, request, opts)
  end
  if opts.follow then
    throw("redirects", ("tg.test: more than %d redirects, the last one from %s"):format(REDIRECTS_MAX, res.path))
  end
  return res
end

-- What a request does not say, the client does.
local function with_defaults(client, opts)
  local out = {}
  for key, value in pairs(opts) do
    out[key] = value
  end
  if out.follow == nil then
    out.follow = client._follow
  end
  out.timeout = out.timeout or client._timeout
  return out
end

local function request(client, method, path, opts)
  local what, requests = "tg.test.request", part("test_request")
  requests.check(what, method, path, opts == nil and {} or opts)
  opts = with_defaults(client, opts or {})
  if client._base and path ~= "*" then
    path = client._base .. path
  end
  local made = requests.new(what, method, path, opts, client._headers)
  if opts.timeout then
    return tg.timeout(opts.timeout, perform, client, made, opts)
  end
  return perform(client, made, opts)
end

-- --- clients -----------------------------------------------------------------------------------------------------

local client_options = {
  headers = "table", cookies = "boolean", base = "string", override = "table", follow = "boolean", timeout = "number",
}

--- A client that keeps cookies and has defaults for its requests.
--- @param opts? tidegate.test_client_options
--- @return tidegate.TestClient
function M.client(opts)
  opts = opts or {}
  part("test_request").check_options("tg.test.client", opts, client_options)
  local base = opts.base and opts.base:gsub("/$", "") or nil
  if base and base ~= "" and (base:sub(1, 1) ~= "/" or base:find("[%c ?#]")) then
    error(core.caller(1) .. ": tg.test.client: base is a path, such as \"/v1\"", 0)
  end
  for dep, fake in pairs(opts.override or {}) do
    M.override(dep, fake)
  end
  return setmetatable({
    cookies = opts.cookies ~= false and require("tidegate._pure.cookie_jar").new(tg.time) or nil,
    _headers = opts.headers, _base = base, _follow = opts.follow or false, _timeout = opts.timeout,
  }, Client)
end

--- Makes a request and returns its answer. ⏸
--- @param method string
--- @param path string begins with "/", with its query, encoded
--- @param opts? tidegate.test_options
--- @return tidegate.test_response
function Client:request(method, path, opts)
  return request(self, method, path, opts)
end

--- GET. ⏸
--- @param path string
--- @param opts? tidegate.test_options
--- @return tidegate.test_response
function Client:get(path, opts)
  return request(self, "GET", path, opts)
end

--- POST. ⏸
--- @param path string
--- @param opts? tidegate.test_options
--- @return tidegate.test_response
function Client:post(path, opts)
  return request(self, "POST", path, opts)
end

--- PUT. ⏸
--- @param path string
--- @param opts? tidegate.test_options
--- @return tidegate.test_response
function Client:put(path, opts)
  return request(self, "PUT", path, opts)
end

--- PATCH. ⏸
--- @param path string
--- @param opts? tidegate.test_options
--- @return tidegate.test_response
function Client:patch(path, opts)
  return request(self, "PATCH", path, opts)
end

--- DELETE. ⏸
--- @param path string
--- @param opts? tidegate.test_options
--- @return tidegate.test_response
function Client:delete(path, opts)
  return request(self, "DELETE", path, opts)
end

--- HEAD. ⏸
--- @param path string
--- @param opts? tidegate.test_options
--- @return tidegate.test_response
function Client:head(path, opts)
  return request(self, "HEAD", path, opts)
end

--- OPTIONS. ⏸
--- @param path string
--- @param opts? tidegate.test_options
--- @return tidegate.test_response
function Client:options(path, opts)
  return request(self, "OPTIONS", path, opts)
end

-- --- without a client --------------------------------------------------------------------------------------------

local plain = setmetatable({ _follow = false }, Client)

--- Makes a request of the application and returns its answer. ⏸ A call that is cancelled is a client that goes away.
--- @param method string
--- @param path string begins with "/", with its query, encoded
--- @param opts? tidegate.test_options
--- @return tidegate.test_response
function M.request(method, path, opts)
  return request(plain, method, path, opts)
end

--- GET. ⏸
--- @param path string
--- @param opts? tidegate.test_options
--- @return tidegate.test_response
function M.get(path, opts)
  return request(plain, "GET", path, opts)
end

--- HEAD. ⏸
--- @param path string
--- @param opts? tidegate.test_options
--- @return tidegate.test_response
function M.head(path, opts)
  return request(plain, "HEAD", path, opts)
end

--- POST. ⏸
--- @param path string
--- @param opts? tidegate.test_options
--- @return tidegate.test_response
function M.post(path, opts)
  return request(plain, "POST", path, opts)
end

--- PUT. ⏸
--- @param path string
--- @param opts? tidegate.test_options
--- @return tidegate.test_response
function M.put(path, opts)
  return request(plain, "PUT", path, opts)
end

--- PATCH. ⏸
--- @param path string
--- @param opts? tidegate.test_options
--- @return tidegate.test_response
function M.patch(path, opts)
  return request(plain, "PATCH", path, opts)
end

--- DELETE. ⏸
--- @param path string
--- @param opts? tidegate.test_options
--- @return tidegate.test_response
function M.delete(path, opts)
  return request(plain, "DELETE", path, opts)
end

--- OPTIONS. ⏸
--- @param path string
--- @param opts? tidegate.test_options
--- @return tidegate.test_response
function M.options(path, opts)
  return request(plain, "OPTIONS", path, opts)
end

-- --- overrides ---------------------------------------------------------------------------------------------------

--- Puts something in the place of a dependency, wherever it is needed, until the test ends; in a `setup` until its
--- block does. Against a live server the test is skipped.
--- @param dep any what `tg.dep` has returned
--- @param fake any a function (req, d) that returns the value, or another dependency
function M.override(dep, fake)
  part("overrides").set(dep, fake)
end

return setmetatable(M, {
  __index = function(_, key)
    if key == "live" then
      return core.testing ~= nil and core.testing.live or false
    end
  end,
  -- tg.test{ override = { [dep] = fake } }
  __call = function(_, opts)
    part("test_request").check_options("tg.test", opts, { override = "table" })
    for dep, fake in pairs(opts.override or {}) do
      M.override(dep, fake)
    end
  end,
})
