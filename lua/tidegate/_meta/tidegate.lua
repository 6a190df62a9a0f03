---@meta tidegate
-- Types for editors: what is written by hand. What C registers (awaitables and modules) is generated at build into
-- tidegate.d.lua. This file is never code.
error("tidegate._meta is for editors only")

---@class tidegate
---@field role "loop"|"worker"|"builder" what kind of Lua state this is
---@field null userdata JSON's null, the same as tg.json.null
---@field channel fun(capacity?: integer): tidegate.Channel values from task to task; without a capacity, a rendezvous
---@field select fun(cases: table): integer|"timeout"|"default", any, "closed"? ⏸ the first of several things to happen
---@field mutex fun(): tidegate.Mutex one task at a time
---@field semaphore fun(places: integer): tidegate.Semaphore at most so many at a time
---@field event fun(): tidegate.Event something has happened
---@field condition fun(mutex?: tidegate.Mutex): tidegate.Condition waiting, with a mutex, until something has changed
---@field barrier fun(parties: integer): tidegate.Barrier nobody goes on before all have come
local tg = {}

--- Monotonic seconds, of the turn of the loop.
---@return number
function tg.now() end

--- Seconds since 1970.
---@return number
function tg.time() end

--- Is the task's scope cancelled?
---@return boolean
function tg.cancelled() end

--- Raises `cancelled` where tg.cancelled() is true; for code that computes for long.
function tg.check_cancelled() end

--- Declares the routes of a file by calls instead of keys.
---@param fn fun(r: tidegate.Routes)
---@return tidegate.RouteTable
function tg.routes(fn) end

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
---@field grants { ffi: boolean?, debug: boolean?, os_execute: boolean?, c_modules: string[]? }?
---@field log { level: "debug"|"info"|"warn"|"error"?, access: "json"|"text"|"off"? }?
---@field on_start fun()?
---@field on_stop fun()?
---@field openapi table|false?
---@field default_blocking boolean?

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
---@field host string
---@field version string

return tg
