---@meta tidegate
-- Types for editors, written by hand: what stands in no function's comment. The functions are in tidegate.lua, which
-- core/gen/document.lua writes. Never code.

---@class tidegate
---@field role "loop"|"worker"|"builder" what kind of Lua state this is
---@field null userdata JSON's null, the same as tg.json.null
local tg = {}

--- Monotonic seconds; in tests those of the fake clock.
---@return number
function tg.now() end

--- Seconds since 1970; in tests those of the fake clock.
---@return number
function tg.time() end

--- Is the task's scope cancelled?
---@return boolean
function tg.cancelled() end

---@alias tidegate.Handler fun(req: tidegate.Request): any, any?, table<string, string>?

---@class tidegate.Routes
local Routes = {}
---@param path string
---@param spec tidegate.Spec|tidegate.Handler
---@param run tidegate.Handler?
---@return tidegate.Routes
function Routes:get(path, spec, run) end
Routes.head, Routes.post, Routes.put, Routes.patch = Routes.get, Routes.get, Routes.get, Routes.get
Routes.delete, Routes.options, Routes.any = Routes.get, Routes.get, Routes.get
---@param methods string "GET,POST"
---@param path string
---@param spec tidegate.Spec|tidegate.Handler
---@param run tidegate.Handler?
---@return tidegate.Routes
function Routes:on(methods, path, spec, run) end

---@class tidegate.Group defaults of a folder (_group.lua) or of a file
---@field blocking boolean|string? run in a worker; a string names a pool of workers.pools
---@field timeout number? seconds until the head of the answer is decided (30)
---@field max_body integer? bytes of the request's body (1 MiB)
---@field stream_body boolean? the handler reads the body as it comes
---@field jit boolean? false: the handler is interpreted
---@field cpu number? seconds of CPU between two suspensions
---@field memory integer? bytes
---@field on_disconnect "cancel"|"finish"? what happens when the client is gone
---@field status integer? of the answer, unless the handler says one
---@field summary string?
---@field description string?
---@field operation_id string?
---@field tags string[]?
---@field deprecated boolean?
---@field hidden boolean? not in the documentation
---@field lock string[]? in _group.lua: keys that may only be tightened below

---@class tidegate.Spec: tidegate.Group
---@field run tidegate.Handler

---@alias tidegate.RouteTable table<string, tidegate.Spec|tidegate.Handler|any>

---@class tidegate.Config what tidegate.lua returns
---@field listen string|string[]?
---@field loops integer?
---@field workers { size: integer?, queue: integer?, max_wait: number?, pools: table<string, table>? }?
---@field limits table<string, integer>?
---@field timeouts table<string, number>?
---@field upstreams table<string, tidegate.UpstreamConfig>?
---@field grants { ffi: boolean?, debug: boolean?, os_execute: boolean?, c_modules: string[]? }?
---@field dns tidegate.DnsConfig?
---@field log { level: "debug"|"info"|"warn"|"error"?, access: "json"|"text"|"off"? }?
---@field secrets string[]|{ env: string }? of signed and sealed cookies, the newest first
---@field on_start fun()?
---@field on_stop fun()?
---@field openapi table|false?
---@field default_blocking boolean?

---@class tidegate.UpstreamConfig what stands behind a name; docs/reference/upstreams.md
---@field peers (string|table)[] "127.0.0.1:9001", or { "127.0.0.1:9001", weight =, priority =, zone =, max_requests = }
---@field scheme "http"|"https"?
---@field tls { ca: string?, cert: string?, key: string?, name: string?, verify: boolean? }?
---@field balance "round_robin"|"least_requests"|"ewma"|"random"|"hash"?
---@field hash_by string? "header:NAME", "cookie:NAME", "query:NAME", "path" or "ip"
---@field sticky { cookie: string }?
---@field health table|boolean?
---@field outlier { failures: integer?, eject: number?, most: number? }|false?
---@field breaker { errors: number?, min: integer?, window: number?, open: number?, probes: integer? }|boolean?
---@field adaptive { least: integer?, most: integer? }|boolean?
---@field slow_start number? seconds
---@field timeouts { connect: number?, first_byte: number?, idle: number?, total: number? }? seconds
---@field retries integer?
---@field retry_budget number?
---@field hedge number? seconds
---@field max_requests integer?
---@field queue integer?
---@field queue_wait number? seconds
---@field zone string?
---@field dns { least: number?, most: number?, family: "ipv4"|"ipv6"? }?

---@class tidegate.DnsConfig
---@field servers string|string[]? addresses, with or without a port
---@field search string|string[]? domains
---@field hosts string? path
---@field resolv_conf string? path
---@field timeout number? seconds of the first attempt
---@field attempts integer?
---@field cache integer? bytes
---@field ttl_min number?
---@field ttl_max number?
---@field ttl_negative number?
---@field stale number? seconds
---@field stale_after number? seconds

---@class tidegate.Error
---@field code string a short stable word
---@field message string
---@field cause any
---@field traceback string?
---@field errors tidegate.Error[]? where code is "group"
local Error = {}
--- Is it an error of this code, or does it hold one?
---@param code string
---@return boolean
function Error:is(code) end

---@class tidegate.Task a task that was spawned
---@field status "running"|"done"|"failed"|"cancelled"
---@field place string where it was spawned, "file:line"
local Task = {}
--- Cancels the task: `cancelled` is raised in it at each suspension.
---@param reason? string
function Task:cancel(reason) end

---@class tidegate.Scope what tg.scope gives to its function
local Scope = {}
--- Starts a task of the scope.
---@param fn function
---@return tidegate.Task
function Scope:spawn(fn, ...) end
--- Cancels the tasks of the scope; its end is no error then.
---@param reason? string
function Scope:cancel(reason) end

---@class tidegate.TlsPeer the client's certificate
---@field subject string "CN=someone,O=Example"
---@field issuer string
---@field common_name string
---@field serial string hexadecimal
---@field fingerprint string SHA-256, hexadecimal
---@field not_before number seconds since 1970
---@field not_after number
---@field san string[] "DNS:a.example", "IP:192.0.2.1", "URI:spiffe://a"

---@class tidegate.Tls
---@field version string "TLSv1.3"
---@field cipher string
---@field sni string? the name that the client asked for
---@field alpn string?
---@field resumed boolean
---@field peer tidegate.TlsPeer?

---@class tidegate.Request
---@field method string
---@field path string normalised and decoded
---@field raw_path string
---@field query table<string, string>
---@field params table<string, string|number>
---@field headers table<string, string> names in any case
---@field cookies table<string, string>
---@field ctx table one table a request, seen by all of its tasks
---@field id string
---@field remote string
---@field scheme string
---@field tls tidegate.Tls? what the connection has agreed on; nil on a plain one
---@field host string
---@field version string

return tg
