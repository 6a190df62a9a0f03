---@meta tidegate
-- Types for editors; never code. Written by core/gen/document.lua from the comments of the
-- functions; what is no function of a file stands in contract.lua.

---@class tidegate
local tg = {}

---@class tidegate.ConnectOptions
---@field timeout? number seconds, with looking up the name and TLS (30)
---@field bind? string our own address
---@field nodelay? boolean send small writes at once (true)
---@field keepalive? number seconds of silence after which the kernel asks whether the other side is there
---@field tls? boolean|tidegate.ConnectTls speak TLS

---@class tidegate.ConnectTls
---@field ca? string who is trusted (the system's certificates), PEM
---@field cert? string our own certificate, PEM
---@field key? string its key, PEM
---@field name? string whom the certificate must be for (the host)
---@field verify? boolean chain and name (true)
---@field min? string "1.2", "1.3"
---@field alpn? string[] protocols to offer

---@class tidegate.CookieOptions
---@field path? string "/"
---@field domain? string the host alone where it is not given
---@field max_age? integer seconds; 0 or less deletes it. Without it and `expires`, it ends with the browser
---@field expires? integer seconds since 1970
---@field secure? boolean sent by HTTPS only (false)
---@field http_only? boolean hidden from scripts of the page (true)
---@field same_site? "Lax"|"Strict"|"None" Lax
---@field partitioned? boolean one jar for each site that embeds this one (false)
---@field signed? boolean can be read by its owner, and changed by nobody
---@field sealed? boolean can be read and changed by nobody

---@class tidegate.CorsOptions
---@field origins? string|string[]|fun(origin: string, req: tidegate.Request): boolean "*" where it is not given
---@field methods? string[] of preflights: GET, HEAD, POST, PUT, PATCH, DELETE
---@field headers? string|string[] that requests may have; "*" for all
---@field expose? string[] headers of answers that pages may see
---@field credentials? boolean cookies and the like may be sent (false)
---@field max_age? integer seconds that browsers keep what a preflight said

--- A peer as it is now.
---@class tidegate.Peer
---@field address string "10.0.0.1:80"
---@field name string as it is listed: "api.internal:80", or the address
---@field zone? string
---@field state "up"|"warming"|"ejected"|"down"|"draining" `down`: its health checks fail
---@field id string what a sticky cookie says
---@field weight integer
---@field priority integer
---@field active integer requests under way
---@field requests integer so far
---@field failures integer of them
---@field latency? number seconds to the head of an answer: a peak average
---@field ejected_for? number seconds that are left of an ejection

--- How a program has ended.
---@class tidegate.ProcessResult
---@field ok boolean its status was 0
---@field status integer|nil nil where a signal ended it
---@field signal string|nil "SIGKILL"
---@field stdout string of tg.process.run
---@field stderr string of tg.process.run

---@class tidegate.SchemaOptions
---@field default any taken where there is no value; must satisfy the schema
---@field optional boolean may be absent
---@field nullable boolean may be JSON's null, tg.null
---@field check fun(value: any): boolean, string? a check of your own, after the others; must not suspend
---@field desc string documentation, as are title, example, examples and deprecated
---@field title string
---@field example any
---@field examples any[]
---@field deprecated boolean
---@field secret boolean the value is not echoed in errors
---@field name string of the component in OpenAPI
---@field min number of numbers, as are max, gt, lt and multiple_of
---@field max number
---@field gt number
---@field lt number
---@field multiple_of number
---@field min_len integer characters of text, items of arrays, members of maps
---@field max_len integer
---@field pattern string a regular expression (PCRE2) that is found somewhere in the text
---@field extra "drop"|"allow"|"refuse" of objects: what becomes of fields that are not declared
---@field discriminator string of unions: the field that says which alternative is meant
---@field max_size integer of files: bytes; as is min_size
---@field types string[] of files: media types

---@class tidegate.SecurityHeaderOptions
---@field content_type? boolean X-Content-Type-Options: nosniff
---@field frame? string|false X-Frame-Options, "DENY"
---@field referrer? string|false Referrer-Policy, "strict-origin-when-cross-origin"
---@field opener? string|false Cross-Origin-Opener-Policy, "same-origin"
---@field csp? string Content-Security-Policy
---@field permissions? string Permissions-Policy

--- What all of them take.
---@class tidegate.SecurityOptions
---@field check function gets what was sent, and req; returns who it is, and what scopes there are; nil or false: 401
---@field optional boolean where nothing was sent, the value is nil instead of 401
---@field realm string what it is for, in the challenge: "api" where it is not given
---@field name string of the scheme in OpenAPI
---@field desc string what OpenAPI says of it
---@field header string of api_key: the name of the field; or `query`, or `cookie`
---@field query string
---@field cookie string
---@field format string of bearer: what the token is, such as "JWT", for OpenAPI
---@field token_url string of oauth2: where the password flow gets its token
---@field flows table of oauth2: { authorization_code = { authorization_url =, token_url =, refresh_url =, scopes = } }
---@field scopes table<string, string> of oauth2: what they mean

---@class tidegate.ServerSentEvent
---@field event string its type; "message" where it names none
---@field data string its lines, a line feed between them
---@field id string the last id that came up to it; "" before the first
---@field retry integer? milliseconds after which to come back, where it says so

---@class tidegate.SessionOptions
---@field cookie? string its name, "session"
---@field max_age? integer seconds, 14 days
---@field secure? boolean sent by HTTPS only (false)
---@field same_site? "Lax"|"Strict"|"None" Lax
---@field path? string "/"
---@field domain? string the host alone where it is not given
---@field rolling? boolean written with each answer, so that max_age counts from the last one (false)

---@class tidegate.Stat
---@field type string
---@field size integer
---@field mode integer permissions
---@field mtime number
---@field atime number
---@field ctime number
---@field uid integer
---@field gid integer
---@field inode integer
---@field device integer
---@field links integer

---@class tidegate.StaticOptions
---@field index? string|false the page of a folder: index.html
---@field list? boolean show what is in a folder without a page
---@field max_age? integer seconds, for Cache-Control
---@field immutable? string a Lua pattern: paths whose files never change
---@field precompressed? boolean send twins with .br, .zst, .gz
---@field types? table<string, string> media types by endings
---@field hidden? boolean serve names that begin with "."
---@field fallback? string the page for paths that are not there

--- An upstream as it is now.
---@class tidegate.UpstreamStatus
---@field breaker "closed"|"open"|"half_open"
---@field active integer requests under way
---@field waiting integer requests that wait for a place
---@field limit integer requests at once; 0: no limit
---@field requests integer picks of a peer so far, retries too
---@field failures integer of them
---@field retries integer
---@field refused integer requests that got no peer or no place
---@field mirrored integer copies of requests to others (`proxy.mirror`) that were sent
---@field unmirrored integer copies that were not: too many, too long, broken off, or without a peer

---@class tidegate.http_client_options
---@field base? string URL that is put before the paths of requests, which then go nowhere else
---@field headers? table<string, any> of each request; a request may give others
---@field cookies? boolean keep cookies (false)
---@field auth? string[] {user, password}
---@field bearer? string a token
---@field timeout? number|tidegate.http_timeouts
---@field redirects? integer|boolean
---@field retry? integer|boolean
---@field decompress? boolean
---@field max_body? integer
---@field unix? string
---@field proxy? string
---@field tls? { ca?: string, cert?: string, key?: string, name?: string, verify?: boolean, min?: string } PEM files:
---   who is trusted (the system's store), our certificate and its key; the name to check (the URL's host); check the
---   other side (true); "1.2" or "1.3"
---@field limit? integer calls at the same time (100; 0: no limit); more wait for their turn, in order of coming
---@field per_host? integer the same for each host and port (0: no limit)

---@class tidegate.http_options
---@field headers? table<string, any> header fields; a list is a field that comes again, `false` leaves one out
---@field query? table<string, any> is added to the URL, encoded; a list is a name that comes again
---@field json? any the body, as JSON; its content type is set
---@field form? table<string, any> the body, as a form; its content type is set
---@field files? table<string, table> files of a form: {filename=, type=, body=}, or a list of those; with `form` both
---   are one multipart body
---@field body? string|function|table the body as it stands; a function that returns the next piece, nil at the end; or
---   what has `chunks`: `req`, another response, a stream
---@field length? integer bytes of a body that comes in pieces; without it they are sent chunked
---@field trailers? table<string, any>|fun(): table<string, any>|nil fields that follow a body in pieces without
---   `length`; a function is asked for them after the last piece
---@field auth? string[] {user, password}
---@field bearer? string a token
---@field cookies? table<string, any> are sent besides those of the client
---@field timeout? number|tidegate.http_timeouts seconds; a number is `total`; 0: no limit
---@field redirects? integer|boolean how many to follow (5); 0 or false: none
---@field retry? integer|boolean how often to try again what is idempotent (0)
---@field idempotent? boolean may the request be made twice? As its method says
---@field expect? boolean wait for `100 Continue` before the body
---@field decompress? boolean take content codings off (true, unless `headers` say what to accept)
---@field max_body? integer most bytes of `res:text()` and `res:json()` (64 MiB)
---@field unix? string path of a unix socket to send the request to
---@field proxy? string URL of a forward proxy

---@class tidegate.http_timeouts
---@field connect? number seconds until the connection is open, with looking up the name and TLS (10)
---@field first_byte? number seconds from the request's end to the head of the response (60)
---@field idle? number seconds without a byte of the body, in either direction (60)
---@field total? number seconds for all of it, with redirects, retries and the body (300)

---@class tidegate.test_client_options
---@field headers? table<string, string|number> of each request; a request may give others
---@field cookies? boolean keep cookies (true)
---@field base? string is put before each path: "/v1"
---@field override? table<any, any> as `tg.test.override` for each
---@field follow? boolean
---@field timeout? number

---@class tidegate.test_options
---@field headers? table<string, string|number> header fields of the request
---@field query? table<string, any> is added to the path, encoded; a list is a name that comes again
---@field json? any the body, as JSON; its content type is set
---@field form? table<string, any> the body, as a form; its content type is set
---@field files? table<string, table> files of a form: {filename=, type=, body=}, or a list of those; with `form` both
---   are one multipart body
---@field body? string the body as it stands
---@field cookies? table<string, string> are sent besides those of the client's jar
---@field follow? boolean follow redirects of the same server, ten at most
---@field stream? boolean return when the head is there; the body is read by `chunks`, `lines` and `events`
---@field timeout? number seconds until the answer is there, with `stream` until its head is; else `timeout` is raised

---@class tidegate.json
---@field null lightuserdata JSON's null, inside tables and out; the same as tg.null
---@field encode fun(value: any, opts?: {pretty?: boolean, sorted?: boolean}): string
---@field decode fun(text: string): any
---@field array fun(items?: any[]): any[] gives a table the mark of an array: empty, it is []
---@field is_array fun(value: any): boolean does a table bear that mark?

---@type tidegate.json
tg.json = nil

---@class tidegate.log
---@field debug fun(message: any, fields?: table<string, any>)
---@field info fun(message: any, fields?: table<string, any>)
---@field warn fun(message: any, fields?: table<string, any>)
---@field error fun(message: any, fields?: table<string, any>) the message may be an error object

---@type tidegate.log
tg.log = nil

---@class tidegate.shared_options
---@field bytes? integer budget of the dictionary, 4096 or more; 16 MiB unless somebody says so
---
---@class tidegate.shared_dictionary A dictionary that all loops and workers see; every call is one atomic step
---@field get fun(self, key: string|number): any the value, or nil
---@field set fun(self, key: string|number, value: any, ttl?: number): true stores; nil deletes; `ttl` in seconds
---@field add fun(self, key: string|number, value: any, ttl?: number): boolean stores only where there is none
---@field replace fun(self, key: string|number, value: any, ttl?: number): boolean stores only where there is one
---@field incr fun(self, key: string|number, by?: number, init?: number|false, ttl?: number): number? adds 1 or `by`; an absent key begins at 0 or `init`, with `ttl`; nil where `init` is false and there is none
---@field delete fun(self, key: string|number): boolean was there one?
---@field ttl fun(self, key: string|number): number? seconds left; math.huge without an end; nil where there is none
---@field expire fun(self, key: string|number, ttl?: number): boolean gives a key `ttl` seconds from now, or no end; false where there is none
---
---@alias tidegate.shared fun(name: string, options?: tidegate.shared_options): tidegate.shared_dictionary

---@type tidegate.shared
tg.shared = nil

do
---@class tidegate.Barrier nobody goes on before all have come
local Barrier = {}

--- Suspends until all have come. Returns the place in the order of coming, and true for the last. ⏸
---@return integer place
---@return boolean last
function Barrier:wait() end

--- How many wait now?
---@type fun(self: tidegate.Barrier): integer
Barrier.waiting = nil
end

do
---@class tidegate.Channel values that go from task to task, in order
---@overload fun(): any
local Channel = {}

--- Gives a value to the channel. Suspends while it is full; with capacity 0, until a receiver has taken the value. ⏸
--- Raises `closed` when the channel is closed, also when that happens meanwhile; then the value was not received.
---@param value any not nil
function Channel:send(value) end

--- Takes the oldest value; suspends while there is none. Once the channel is closed and empty: nil, "closed". ⏸
---@return any value
---@return "closed"? why
function Channel:recv() end

--- Gives a value if that needs no waiting.
---@type fun(self: tidegate.Channel, value: any): boolean, "full"|"closed"|nil
Channel.try_send = nil

--- Takes a value if one is there.
---@type fun(self: tidegate.Channel): any, "empty"|"closed"|nil
Channel.try_recv = nil

--- No value will come any more: receivers get what is in the channel, then the end. Those who wait to send, and all
--- who send later, get the error `closed`. Closing twice is harmless.
---@type fun(self: tidegate.Channel)
Channel.close = nil

--- How many values are in the channel; also `#ch`.
---@type fun(self: tidegate.Channel): integer
Channel.len = nil

---@type fun(self: tidegate.Channel): integer
Channel.capacity = nil

--- Has it been closed?
---@type fun(self: tidegate.Channel): boolean
Channel.closed = nil
end

do
---@class tidegate.Condition waiting, with a mutex, until something has changed
local Condition = {}

--- Unlocks the mutex, suspends until it is notified, and holds the mutex again when it returns or raises. ⏸
--- Raises `not_owner` when the running task does not hold the mutex.
function Condition:wait() end

--- Waits until test() gives something true, and returns that. The test runs while the mutex is held. ⏸
---@param test fun(): any
function Condition:wait_for(test) end

--- Wakes the first `n` (1) who wait. Returns how many there were.
---@type fun(self: tidegate.Condition, n?: integer): integer
Condition.notify = nil

--- Wakes all who wait. Returns how many there were.
---@type fun(self: tidegate.Condition): integer
Condition.notify_all = nil

--- The mutex that belongs to it.
---@type fun(self: tidegate.Condition): tidegate.Mutex
Condition.mutex = nil

--- Locks the mutex. ⏸
function Condition:lock() end

--- Unlocks the mutex.
function Condition:unlock() end

--- Calls fn(...) while the task holds the mutex, and returns its results. ⏸
---@param fn function
function Condition:with(fn, ...) end
end

do
--- The cookies of a client, of tg.http or tg.test.
---@class tidegate.CookieJar
local CookieJar = {}

--- The value of a cookie that has not expired, whatever its path; nil where there is none.
---@param name string
---@return string|nil
function CookieJar:get(name) end

--- Sets a cookie as an answer would that came from `domain` (localhost) and says `path` (/).
---@param name string
---@param value string|number
---@param opts? { domain?: string, path?: string }
function CookieJar:set(name, value, opts) end

--- Names and values of all cookies.
---@return table<string, string>
function CookieJar:all() end

--- Forgets all cookies, or those of one name.
---@param name? string
function CookieJar:clear(name) end
end

do
---@class tidegate.Event something has happened
local Event = {}

--- Suspends until the event is set; goes on at once when it is. ⏸
function Event:wait() end

--- All who wait go on, and nobody waits any more until it is cleared.
---@type fun(self: tidegate.Event)
Event.set = nil

---@type fun(self: tidegate.Event)
Event.clear = nil

---@type fun(self: tidegate.Event): boolean
Event.is_set = nil
end

do
--- A stream of server-sent events, as the function of tg.sse gets it.
---@class tidegate.Events
---@field last_event_id string? what the client has seen last, by its Last-Event-ID
local Events = {}

--- Sends one event: a string, which is its data, or a table of `data`, `event`, `id`, `retry` (in milliseconds) and
--- `comment`. Data that is no string goes as JSON. ⏸ while the client has much to read; raises `closed` when it is
--- gone.
---@param event string|table
function Events:send(event) end

--- Sends bytes as they are: of somebody else's stream of the same kind. ⏸
---@param ... string|number
function Events:write(...) end

--- Sends the head now, before there is anything to send after it. ⏸
function Events:flush() end
end

do
---@class tidegate.File
---@field path string
---@field closed boolean have we closed it?
local File = {}

--- At most `n` bytes from the position on, fewer where fewer come at once; `nil` at the end. ⏸
--- Without `n` as many as are there to take, at least one.
---@param n? integer
---@return string?
function File:read(n) end

--- Exactly `n` bytes, or `nil` at the end. ⏸ Where the file ends in between, it raises `eof`, and the position stays.
---@param n integer
---@return string?
function File:read_exactly(n) end

--- Everything from the position to the end. ⏸ Raises `too_large` past `limit`, and the position stays.
---@param limit? integer bytes (64 MiB)
---@return string
function File:read_all(limit) end

--- The next line without its "\n" or "\r\n"; `nil` at the end. ⏸ Raises `too_large` where it is longer than `limit`.
---@param opts? {limit: integer} bytes (16 MiB)
---@return string?
function File:read_line(opts) end

--- Iterates over the lines from the position on, as read_line does. ⏸
---@param opts? {limit: integer} bytes (16 MiB)
---@return fun(): string?
function File:lines(opts) end

--- Iterates over the file in pieces of at most `n` bytes (256 KiB), from the position on. ⏸
---@param n? integer
---@return fun(): string?
function File:chunks(n) end

--- Writes at the position, or with mode `a` at the end: all of it, or it raises. ⏸ A write that is cancelled leaves the
--- position, but a part of the bytes may be there.
---@param ... string|number
function File:write(...) end

--- Moves the position and returns it, as file:seek of plain Lua. ⏸ with "end"
---@param whence? "set"|"cur"|"end"
---@param offset? integer
---@return integer
function File:seek(whence, offset) end

--- The size in bytes. ⏸
---@return integer
function File:size() end

--- Cuts the file, or fills it up with zeros, to `n` bytes (0). ⏸ The position stays.
---@param n? integer
function File:truncate(n) end

--- Returns when the disk has all that was written. ⏸
function File:sync() end

--- Closes the file. ⏸ Raises what went wrong with earlier writes, where the system says it only now.
function File:close() end

--- Gives the file to the application: it stays open when the request ends.
---@return tidegate.File
function File:detach() end
end

do
--- A file that came with a form. Small ones are in memory, larger ones in a temporary file, which is deleted when the
--- request ends.
---@class tidegate.FormFile
---@field name string the name of the field
---@field filename string the last component of what was sent, maybe empty; never a path
---@field type string its Content-Type, as the client says it
---@field size integer bytes
---@field path? string of the temporary file, where there is one
local FormFile = {}

--- All of its bytes. ⏸ Raises `too_large` where they are more than `limit`.
---@param limit? integer (64 MiB)
---@return string
function FormFile:text(limit) end

--- Iterates over its bytes in pieces of at most `n`. ⏸
---@param n? integer bytes (256 KiB)
---@return fun(): string?
function FormFile:chunks(n) end

--- Writes it to a file of yours, in one step: others see nothing of it, or all. ⏸ Choose the name yourself: `filename`
--- is what a stranger says.
---@param path string a relative one begins at the application's folder
function FormFile:save(path) end
end

do
--- A client with settings of its own.
---@class tidegate.HttpClient
---@field cookies tidegate.CookieJar|nil
local HttpClient = {}

--- As `tg.http.request`. ⏸
---@param opts tidegate.http_options with `method` (GET) and `url`
---@return tidegate.HttpResponse
function HttpClient:request(opts) end

--- GET. ⏸
---@param url string a path, where the client has a base
---@param opts? tidegate.http_options
---@return tidegate.HttpResponse
function HttpClient:get(url, opts) end

--- HEAD. ⏸
---@param url string a path, where the client has a base
---@param opts? tidegate.http_options
---@return tidegate.HttpResponse
function HttpClient:head(url, opts) end

--- POST. ⏸
---@param url string a path, where the client has a base
---@param opts? tidegate.http_options
---@return tidegate.HttpResponse
function HttpClient:post(url, opts) end

--- PUT. ⏸
---@param url string a path, where the client has a base
---@param opts? tidegate.http_options
---@return tidegate.HttpResponse
function HttpClient:put(url, opts) end

--- PATCH. ⏸
---@param url string a path, where the client has a base
---@param opts? tidegate.http_options
---@return tidegate.HttpResponse
function HttpClient:patch(url, opts) end

--- DELETE. ⏸
---@param url string a path, where the client has a base
---@param opts? tidegate.http_options
---@return tidegate.HttpResponse
function HttpClient:delete(url, opts) end

--- OPTIONS. ⏸
---@param url string a path, where the client has a base
---@param opts? tidegate.http_options
---@return tidegate.HttpResponse
function HttpClient:options(url, opts) end
end

do
--- The answer to a request of tg.http.
---@class tidegate.HttpResponse
---@field status integer
---@field headers table<string, string> names in any case; of fields that came twice the values, a comma between
---@field url string where it comes from, after redirects
---@field method string of its request; after redirects, of the last one
---@field version string "1.1" or "1.0"
---@field cookies table<string, string> what its Set-Cookie fields set
---@field trailers table<string, string>|nil fields that came after the body, once that was read
local HttpResponse = {}

--- The whole body, at most `max_body` bytes, else `too_large`. ⏸ It is kept, so that it can be asked for again.
---@return string
function HttpResponse:text() end

--- The body as JSON, whatever its content type. ⏸ Raises `json` where it is none.
---@return any
function HttpResponse:json() end

--- Iterates over the body as it comes, in pieces of any size: `for bytes in res:chunks() do`. ⏸ No more is read than
--- is asked for. Raises `cut` where the body breaks off.
---@return fun(): string|nil
function HttpResponse:chunks() end

--- Iterates over the lines of the body, without their ends. ⏸ Raises `too_large` past `opts.limit` bytes of one (64
--- KiB).
---@param opts? { limit?: integer }
---@return fun(): string|nil
function HttpResponse:lines(opts) end

--- Iterates over server-sent events. ⏸
---@return fun(): tidegate.ServerSentEvent|nil
function HttpResponse:events() end

--- Returns the response; where the status is 400 or more it raises `bad_status` instead, with it in `err.response`.
--- Uncaught in a handler that is 502.
---@return tidegate.HttpResponse
function HttpResponse:ok() end

--- All values of a header field, in their order.
---@param name string
---@return string[]
function HttpResponse:all(name) end

--- Lets go of the body: what is left of it is not read. At the end of the request, job or script that happens by
--- itself.
function HttpResponse:close() end
end

do
--- A stream of JSON lines, as the function of tg.json_lines gets it.
---@class tidegate.Lines
local Lines = {}

--- Sends one value as a line of JSON. ⏸ while the client has much to read; raises `closed` when it is gone.
---@param value any
function Lines:send(value) end

--- Sends bytes as they are: of somebody else's stream of the same kind. ⏸
---@param ... string|number
function Lines:write(...) end

--- Sends the head now, before there is anything to send after it. ⏸
function Lines:flush() end
end

do
--- A listening socket.
---@class tidegate.Listener
---@field address string where it listens, with the real port
---@field closed boolean
local Listener = {}

--- Waits for a client and returns its socket. Where no descriptor is left it waits until there is one. ⏸
--- Raises `closed` when the listener is closed meanwhile.
---@return tidegate.Stream
function Listener:accept() end

--- Calls fn(stream) in a task of its own for every client, and closes the stream after it; errors of fn are logged. ⏸
--- Ends when the listener is closed, after the last of the tasks; cancelling it cancels them.
---@param fn fun(stream: tidegate.Stream)
---@param options? { limit?: integer } clients at the same time (1000); more wait in the kernel
function Listener:serve(fn, options) end

--- Stops listening; a task that waits in `accept` gets `closed`. Sockets that were accepted stay.
function Listener:close() end

--- Takes the listener out of its request: it lives until it is closed, or the application ends.
---@return tidegate.Listener
function Listener:detach() end
end

do
---@class tidegate.Mutex one task at a time
local Mutex = {}

--- Locks it; suspends while another task holds it. Tasks get it in the order in which they asked. ⏸
--- Raises `deadlock` when the running task holds it already.
function Mutex:lock() end

--- Locks it if it is free.
---@type fun(self: tidegate.Mutex): boolean
Mutex.try_lock = nil

--- Unlocks it. Raises `not_owner` in a task that does not hold it.
---@type fun(self: tidegate.Mutex)
Mutex.unlock = nil

--- Is it locked by anybody?
---@type fun(self: tidegate.Mutex): boolean
Mutex.locked = nil

--- Calls fn(...) while the task holds the mutex, and returns its results. Unlocks on error and cancellation, too. ⏸
---@param fn function
function Mutex:with(fn, ...) end
end

do
---@class tidegate.Out
local Out = {}

--- Sends bytes. ⏸ while the client has much to read; raises `closed` when it is gone.
---@param ... string|number
function Out:write(...) end

--- Sends the head now, before there is anything to send after it. ⏸
function Out:flush() end
end

do
--- A part of a multipart form, while it comes.
---@class tidegate.Part
---@field name string the name of the field
---@field filename? string of a file: the last component of what was sent, maybe empty
---@field type string its Content-Type; "text/plain" where none was sent
---@field headers table<string, string> of the part; names in any case
local Part = {}

--- The next bytes of the part, of any number; `nil` at its end. ⏸
--- Raises `body_taken` once the next part was asked for.
---@return string?
function Part:read() end

--- Iterates over the bytes of the part as they come, in pieces of any size. ⏸
---@return fun(): string?
function Part:chunks() end

--- All that is left of the part. ⏸ Answers 413 where it is more than `limit`.
---@param limit? integer bytes (limits.form_field, 1 MiB)
---@return string
function Part:text(limit) end
end

do
--- A program that runs.
---@class tidegate.Process
---@field pid integer also the number of its process group
---@field stdin tidegate.Stream|nil
---@field stdout tidegate.Stream|nil
---@field stderr tidegate.Stream|nil
local Process = {}

--- Waits for its end. ⏸
---@return tidegate.ProcessResult
function Process:wait() end

--- Sends a signal to the program and all that it has started.
---@param signal? string "SIGTERM" where none is given
---@return boolean sent false where it has ended already
function Process:kill(signal) end

--- Ends it: SIGTERM, SIGKILL after the grace, and waits for the end. ⏸
---@param grace? number seconds
---@return tidegate.ProcessResult
function Process:stop(grace) end

--- Takes it and its streams out of the request that started it: it lives until it ends, or the application's
--- generation does.
---@return tidegate.Process
function Process:detach() end
end

do
---@class tidegate.Request
local Request = {}

--- The whole body as a string; empty where there is none. ⏸
--- It is kept: reading it again, or as JSON, costs nothing and takes nothing from others.
---@return string
function Request:text() end

--- The body as JSON (RFC 8259). ⏸ Answers 400 when it is malformed, 415 when the content type says that it is none, or
--- that it is not UTF-8.
---@return any
function Request:json() end

--- The body as a form, application/x-www-form-urlencoded or multipart/form-data: a table of strings and files, of equal
--- names the last. ⏸ Answers 400 when it is malformed, 413 past a limit of `limits.form_*`, 415 for other types.
---@return table<string, string|tidegate.FormFile>
function Request:form() end

--- Iterates over the parts of a multipart form as they come. ⏸ What was not read of a part is skipped.
--- Answers as req:form() does.
---@return fun(): tidegate.Part?
function Request:parts() end

--- Iterates over the body as it comes, in pieces of any size; holds no more than one of them. ⏸
---@return fun(): string|nil
function Request:chunks() end

--- The value of a cookie that `tg.cookie` made with `signed = true`; `nil` where there is none, where it was changed or
--- belongs to another name, and where it is older than `max_age`.
---@param name string
---@param max_age? number seconds
---@return string?
function Request:signed_cookie(name, max_age) end

--- The value of a cookie that `tg.cookie` made with `sealed = true`; else `nil`, as with req:signed_cookie.
---@param name string
---@param max_age? number seconds
---@return string?
function Request:sealed_cookie(name, max_age) end
end

do
--- A schema. Called with options, it gives a schema like it that has these, too.
---@class tidegate.SchemaNode
---@overload fun(options: tidegate.SchemaOptions): tidegate.SchemaNode
local SchemaNode = {}

--- Checks a value of Lua: strings are not converted, and the value itself is not changed.
---@param value any
---@return any value with defaults filled in and undeclared fields dropped; nil where it does not fit
---@return {loc: (string|integer)[], msg: string, type: string, input: any}[]? errors
function SchemaNode:check(value) end

--- The same, but raises the error `schema` where the value does not fit: with all of `errors`.
---@param value any
---@return any value
function SchemaNode:parse(value) end

--- An object with more fields; of equal names the new one counts.
---@param fields table as S.obj takes them, or an S.obj
---@param opts? tidegate.SchemaOptions
---@return tidegate.SchemaNode
function SchemaNode:extend(fields, opts) end

--- An object of some of the fields: `User:pick{ "id", "name" }`.
---@param names string[]
---@return tidegate.SchemaNode
function SchemaNode:pick(names) end

--- An object without some of the fields.
---@param names string[]
---@return tidegate.SchemaNode
function SchemaNode:omit(names) end

--- An object whose fields may all be absent, and have no defaults: what a PATCH takes.
---@return tidegate.SchemaNode
function SchemaNode:partial() end
end

do
--- What tg.security makes: a dependency, for `deps` and `needs`.
---@class tidegate.SecurityDep
local SecurityDep = {}

--- The same, but with these scopes: 403 for who has not all of them. `check` returns what somebody has as its second
--- value: a list, or a string with blanks between.
---@param wanted string[]
---@return tidegate.SecurityDep
function SecurityDep:scopes(wanted) end
end

do
---@class tidegate.Semaphore at most so many at a time
local Semaphore = {}

--- Takes a place; suspends while there is none. Tasks get one in the order in which they asked. ⏸
function Semaphore:acquire() end

--- Takes a place if one is free.
---@type fun(self: tidegate.Semaphore): boolean
Semaphore.try_acquire = nil

--- Gives a place back. Raises `not_acquired` when all are free.
---@type fun(self: tidegate.Semaphore)
Semaphore.release = nil

--- How many places are free?
---@type fun(self: tidegate.Semaphore): integer
Semaphore.available = nil

--- Calls fn(...) in a place, and returns its results. Gives the place back on error and cancellation, too. ⏸
---@param fn function
function Semaphore:with(fn, ...) end
end

do
--- A byte stream: a socket of tg.net, or a pipe to a process.
---@class tidegate.Stream
---@field closed boolean closed by us, or with its request
---@field address string|nil our end: "127.0.0.1:40000", "unix:/path"
---@field remote string|nil the other end
---@field buffered integer bytes that have come and were not read yet
---@field tls tidegate.Tls|nil what a secured stream has agreed on; nil of a plain one
local Stream = {}

--- Returns what has come, at most `n` bytes (64 KiB); nil at the end of the stream. ⏸
---@param n? integer
---@return string|nil
function Stream:read(n) end

--- Returns exactly `n` bytes; nil where the stream has ended before the first. ⏸
--- Raises `eof` where it ends in between; `read` gives what has come.
---@param n integer
---@return string|nil
function Stream:read_exactly(n) end

--- Returns a line without its \n or \r\n, the last one also where it has none; nil at the end. ⏸
--- Raises `too_large` past `opts.limit` bytes (64 KiB); they can still be read.
---@param opts? { limit?: integer }
---@return string|nil
function Stream:read_line(opts) end

--- Returns the bytes before `delimiter`, which is dropped; nil at the end. ⏸
--- Raises `eof` where the stream ends without it and `too_large` past `limit` bytes (64 KiB); nothing is lost then.
---@param delimiter string
---@param limit? integer
---@return string|nil
function Stream:read_until(delimiter, limit) end

--- Returns everything up to the end of the stream. ⏸
--- Raises `too_large` past `limit` bytes (16 MiB); they can still be read in parts.
---@param limit? integer
---@return string
function Stream:read_all(limit) end

--- Iterates over lines: `for line in s:lines() do`. ⏸
---@param opts? { limit?: integer }
---@return fun(): string|nil
function Stream:lines(opts) end

--- Iterates over what comes, as it comes: `for bytes in s:chunks() do`. ⏸
---@param n? integer most bytes of one
---@return fun(): string|nil
function Stream:chunks(n) end

--- Sends strings and numbers; suspends while the other side has too much to read. ⏸
---@param ... string|number
function Stream:write(...) end

--- Ends our side when everything written is out; the other side can still send.
function Stream:shutdown() end

--- Sends what was written and closes; waits for that five seconds at most, and not at all in a cancelled task. ⏸
function Stream:close() end

--- Takes the stream out of its request: it lives until it is closed, or the application ends.
---@return tidegate.Stream
function Stream:detach() end
end

do
---@class tidegate.Task
local Task = {}

--- Waits for the task and returns its results, or raises its error. ⏸
function Task:join() end
end

do
--- A template.
---@class tidegate.Template
---@field path string of its file
local Template = {}

--- An answer made by this template. It suspends where the template does.
---@param data? table
---@param opts? {status: integer, headers: table, type: string}
function Template:render(data, opts) end

--- The text that this template makes. It suspends where the template does.
---@param data? table
---@return string
function Template:text(data) end
end

do
--- A client with cookies and defaults of its own. `head` and `options` as methods, too.
---@class tidegate.TestClient
---@field cookies tidegate.CookieJar|nil
local TestClient = {}

--- Makes a request and returns its answer. ⏸
---@param method string
---@param path string begins with "/", with its query, encoded
---@param opts? tidegate.test_options
---@return tidegate.test_response
function TestClient:request(method, path, opts) end

--- GET. ⏸
---@param path string
---@param opts? tidegate.test_options
---@return tidegate.test_response
function TestClient:get(path, opts) end

--- POST. ⏸
---@param path string
---@param opts? tidegate.test_options
---@return tidegate.test_response
function TestClient:post(path, opts) end

--- PUT. ⏸
---@param path string
---@param opts? tidegate.test_options
---@return tidegate.test_response
function TestClient:put(path, opts) end

--- PATCH. ⏸
---@param path string
---@param opts? tidegate.test_options
---@return tidegate.test_response
function TestClient:patch(path, opts) end

--- DELETE. ⏸
---@param path string
---@param opts? tidegate.test_options
---@return tidegate.test_response
function TestClient:delete(path, opts) end

--- HEAD. ⏸
---@param path string
---@param opts? tidegate.test_options
---@return tidegate.test_response
function TestClient:head(path, opts) end

--- OPTIONS. ⏸
---@param path string
---@param opts? tidegate.test_options
---@return tidegate.test_response
function TestClient:options(path, opts) end
end

do
--- A UDP socket. What has come and was not received waits in the kernel, which drops what is too much.
---@class tidegate.Udp
---@field address string|nil where it is bound, once it is
---@field closed boolean
local Udp = {}

--- Sends one datagram. ⏸
---@param data string at most 65507 bytes, else `too_large`
---@param address string "host:port", or a host
---@param port? integer after a host
function Udp:send_to(data, address, port) end

--- Fixes the other end: `send` goes there, and `receive` takes nothing from elsewhere. ⏸ for a host
---@param address string "host:port", or a host
---@param port? integer after a host
---@return tidegate.Udp
function Udp:connect(address, port) end

--- Sends one datagram to where the socket is connected. ⏸
---@param data string
function Udp:send(data) end

--- Waits for a datagram; returns it and where it came from. ⏸
---@return string data
---@return string from
function Udp:receive() end

--- Closes it; a task that waits in `receive` gets `closed`.
function Udp:close() end

--- Takes the socket out of its request: it lives until it is closed, or the application ends.
---@return tidegate.Udp
function Udp:detach() end
end

do
---@class tidegate.Upstream
---@field name string
local Upstream = {}

--- All of its peers, in the order of their listing.
---@return tidegate.Peer[]
function Upstream:peers() end

--- Its breaker, its places and what it has done so far.
---@return tidegate.UpstreamStatus
function Upstream:status() end

--- Adds a peer: an address, or a table as in tidegate.lua. It is there until it is removed. False where it is there
--- already. Raises `overload` past 4096 peers.
---@param peer string|table "127.0.0.1:9001", or { "127.0.0.1:9001", weight =, priority =, zone =, max_requests = }
---@return boolean
function Upstream:add(peer) end

--- A peer takes no new requests, or with `false` takes them again. What is under way goes on. The address of a peer,
--- or the name that peers are listed by. False where there is none.
---@param address string
---@param on? boolean true
---@return boolean
function Upstream:drain(address, on) end

--- Takes a peer away; what is under way goes on. One of tidegate.lua stays away until it is added again, or was taken
--- out there. False where there is none.
---@param address string as it is listed
---@return boolean
function Upstream:remove(address) end

--- Changes the weight of a peer, until tidegate.lua itself says another one. False where there is none.
---@param address string
---@param weight integer 1 to 65535
---@return boolean
function Upstream:weight(address, weight) end
end

do
---@class tidegate.Watch
---@field path string
local Watch = {}

--- The next event, `{path=, kind=}`; `nil` when what was watched is gone. ⏸
--- `kind` is "created" (also moved to here), "changed", "deleted" (also moved away), or "overflow": too much has
--- happened to tell it all, so look for yourself.
---@return {path: string, kind: "created"|"changed"|"deleted"|"overflow"}?
function Watch:next() end

--- Ends the watch; whoever waits for it gets the error `closed`.
function Watch:close() end

--- Gives the watch to the application: it goes on when the request ends.
---@return tidegate.Watch
function Watch:detach() end
end

do
--- A WebSocket: what the function of tg.websocket gets.
---@class tidegate.WebSocket
---@field req tidegate.Request the request that has opened it
---@field protocol string|nil the subprotocol that was agreed on
---@field closed boolean nothing can be sent any more
---@field closing boolean the server is about to end, or to restart: come to an end
---@field close_code integer|nil how it was closed, once it is
---@field close_reason string|nil
local WebSocket = {}

--- The next message; waits for it. ⏸ At the end nil, the close code and the reason. One task at a time.
--- A wait that is cut short, as by tg.timeout, loses no message. Raises `busy` where another task waits already.
---@return string|nil message
---@return "text"|"binary"|integer kind or the close code
---@return string|nil reason
function WebSocket:recv() end

--- Iterates over the messages until the end: `for message, kind in ws:messages() do`. ⏸
---@return fun(): string|nil, string
function WebSocket:messages() end

--- The next message, decoded from JSON; nil, code, reason at the end. ⏸
--- What is no JSON closes the socket with 1007, what the schema does not take with 1008; both raise `invalid_message`,
--- in the second case with a list of what is wrong in `errors`.
---@param schema? any of tg.schema, or a table of such
---@return any value
---@return integer|nil code
---@return string|nil reason
function WebSocket:recv_json(schema) end

--- Sends a text message. ⏸ while the client has too much to read. Several tasks may send; messages stay whole.
--- Raises `websocket_closed` when it is closed; where the client has closed it, an uncaught one just ends the handler.
---@param text string UTF-8
function WebSocket:send(text) end

--- Sends a binary message. ⏸ As `send`.
---@param bytes string
function WebSocket:send_binary(bytes) end

--- Sends a value as JSON in a text message. ⏸ As `send`.
---@param value any
function WebSocket:json(value) end

--- Asks the client for a sign of life; its answer is not waited for.
function WebSocket:ping() end

--- Closes it: sends a Close and waits for the client's, at most five seconds. ⏸ What was not read is dropped.
--- Closing again waits for the same end. In a cancelled task it waits for nothing.
---@param code? integer 1000 where it is not given; 1000 to 1003, 1007 to 1014, 3000 to 4999
---@param reason? string at most 123 bytes of UTF-8; longer ones are cut
function WebSocket:close(code, reason) end
end

do
--- The answer to a request of a test.
---@class tidegate.test_response
---@field status integer
---@field headers table<string, string> names in any case; of fields that came twice the values, a comma between
---@field cookies table<string, string> what its Set-Cookie fields set
---@field complete boolean false: the answer was broken off, as by an error in the middle of a stream; with
---   `stream = true` also as long as it was not read to its end
---@field method string of its request
---@field path string of its request; after redirects, of the last one
local test_response = {}

--- The body; of a stream, what was not read yet. ⏸
---@return string
function test_response:text() end

--- The body, read as JSON. ⏸
---@return any
function test_response:json() end

--- Raises `http` where the status is 400 or more.
---@return tidegate.test_response
function test_response:ok() end

--- All values of a header field, in their order.
---@param name string
---@return string[]
function test_response:all(name) end

--- Iterates over the body as it comes: `for bytes in res:chunks() do`. ⏸
---@return fun(): string|nil
function test_response:chunks() end

--- Iterates over the lines of the body, without their ends. ⏸
---@return fun(): string|nil
function test_response:lines() end

--- Iterates over server-sent events. ⏸
---@return fun(): tidegate.ServerSentEvent|nil
function test_response:events() end

--- Reads no further: to the application, the client is gone.
function test_response:close() end
end

do
--- Called, `tg.cookie(name, value, opts)` gives the value of a Set-Cookie field: put it into the headers of an answer.
--- Raises `bad_cookie` where a browser would not keep the cookie, and `no_secrets` for `signed` and `sealed` without
--- `secrets` in tidegate.lua.
---@class tidegate.cookie
---@overload fun(name: string, value: string|number, opts?: tidegate.CookieOptions): string
local cookie = {}

--- The value of a Set-Cookie field that deletes a cookie. Give the path, domain and the like that it was made with.
---@param name string
---@param opts? tidegate.CookieOptions
---@return string
function cookie.delete(name, opts) end

tg.cookie = cookie
end

do
---@class tidegate.crypto
local crypto = {}

--- The SHA-256 hash of some bytes: 32 bytes. `tg.crypto.hex` makes text of them.
---@param data string
---@return string
function crypto.sha256(data) end

--- The SHA-384 hash: 48 bytes.
---@param data string
---@return string
function crypto.sha384(data) end

--- The SHA-512 hash: 64 bytes.
---@param data string
---@return string
function crypto.sha512(data) end

--- The SHA-1 hash: 20 bytes. Broken; for protocols that ask for it.
---@param data string
---@return string
function crypto.sha1(data) end

--- The MD5 hash: 16 bytes. Broken; for protocols that ask for it.
---@param data string
---@return string
function crypto.md5(data) end

--- HMAC (RFC 2104): a hash that only who has the key can make. Compare it with `tg.crypto.equal`.
---@param hash "sha256"|"sha384"|"sha512"|"sha1"|"md5"
---@param key string
---@param data string
---@return string
function crypto.hmac(hash, key, data) end

--- HKDF (RFC 5869): keys out of a secret that is long and random; never out of a password.
---@param hash "sha256"|"sha384"|"sha512"|"sha1"|"md5"
---@param key string the secret
---@param salt string random, or empty
---@param info string what the key is for
---@param length integer 1 to 1024 bytes
---@return string
function crypto.hkdf(hash, key, salt, info, length) end

--- Are they the same? It takes as long wherever they differ, so that nobody can find out byte by byte.
---@param a string
---@param b string
---@return boolean
function crypto.equal(a, b) end

--- Encrypts and signs a text (AES-256-GCM) under a key of 32 bytes, with a new random nonce in front. One key is good
--- for some billion texts; `context` is not in the result, but has to be given again to open it.
---@param key string
---@param text string
---@param context? string
---@return string
function crypto.seal(key, text, context) end

--- Opens what `tg.crypto.seal` made; `nil` where the key or the context is another, or a byte was changed.
---@param key string
---@param sealed string
---@param context? string
---@return string?
function crypto.open(key, sealed, context) end

--- Base64 with padding (RFC 4648 section 4).
---@param bytes string
---@return string
function crypto.base64_encode(bytes) end

--- Bytes of a base64 text; `nil` where it is none.
---@param text string
---@return string?
function crypto.base64_decode(text) end

--- Base64 for URLs, file names and cookies: `-` and `_`, no padding (RFC 4648 section 5).
---@param bytes string
---@return string
function crypto.base64url_encode(bytes) end

--- Bytes of a base64url text, padded or not; `nil` where it is none.
---@param text string
---@return string?
function crypto.base64url_decode(text) end

--- Two hexadecimal digits a byte, in lower case.
---@param bytes string
---@return string
function crypto.hex(bytes) end

--- Bytes of hexadecimal digits in any case; `nil` where there is something else.
---@param text string
---@return string?
function crypto.unhex(text) end

--- A text to keep in place of a password: `$scrypt$ln=15,r=8,p=3$salt$hash` (RFC 7914). ⏸ It takes about 0.15 s of a
--- core, on purpose, but not of the loop's thread; of one Lua state two run at once, the others wait.
---@param password string
---@return string
function crypto.password_hash(password) end

--- Is it the password that `tg.crypto.password_hash` was given? ⏸ Raises `invalid` where the kept text is none of ours,
--- or asks for more work than 64 MiB and eight times the usual.
---@param password string
---@param kept string
---@return boolean
function crypto.password_verify(password, kept) end

tg.crypto = crypto
end

do
---@class tidegate.dns
local dns = {}

--- Addresses of a host, in the order in which they are to be tried (RFC 6724). ⏸
---
--- An address stands for itself, `localhost` for the loopback; then the hosts file is asked, then the DNS, with the
--- search domains of resolv.conf. Raises `not_found`, `timeout`, `dns_servfail`, `dns_refused`, `dns_unreachable`.
---@param name string
---@param options? { family?: 4|6, port?: integer } with `port`, each address has it: "127.0.0.1:80", "[::1]:80"
---@return string[] addresses at least one
function dns.lookup(name, options) end

--- Records of a name as they stand in the DNS: no hosts file, no search domains. ⏸
---
--- Each has its `ttl`, in seconds, and by its type: A, AAAA `address`; CNAME, NS, PTR `host`; MX `host priority`;
--- SRV `host port priority weight`; TXT `text parts`; CAA `flags tag value`; SOA `host mailbox serial refresh retry
--- expire minimum`. MX and SRV come in the order of their priorities.
---@param name string
---@param kind "A"|"AAAA"|"CAA"|"CNAME"|"MX"|"NS"|"PTR"|"SOA"|"SRV"|"TXT"
---@return table[] records at least one
function dns.resolve(name, kind) end

--- Names of an address: those of the hosts file, else those of its PTR records. ⏸
---@param address string
---@return string[] names at least one
function dns.reverse(address) end

--- Forgets every answer that this loop, or worker, has kept.
function dns.flush() end

tg.dns = dns
end

do
---@class tidegate.fs
local fs = {}

--- The contents of a regular file. ⏸
--- Errors: `not_found`, `too_large` past `max`, `not_regular`, `is_directory`, `permission`.
---@param path string a relative one begins at the application's folder
---@param opts? {max: integer} bytes (64 MiB)
---@return string
function fs.read(path, opts) end

--- Writes a whole file. ⏸ Others see the old contents or the new, never a part: the bytes go to a file of another
--- name, which then takes the place. With `atomic = false` the file itself is cut and written.
--- `sync = true` also has the disk take the new name, `sync = false` leaves all writing back to the system.
---@param path string
---@param data string
---@param opts? {atomic: boolean, mode: integer, sync: boolean}
function fs.write(path, data, opts) end

--- Adds bytes to the end of a file, which is made where there is none. ⏸ Once begun, it is not cancelled.
---@param path string
---@param data string
---@param opts? {mode: integer, sync: boolean}
function fs.append(path, data, opts) end

--- Copies a regular file, with its permissions; what has the name already is replaced in one step. ⏸
---@param from string
---@param to string
function fs.copy(from, to) end

--- What is behind a path. ⏸ `type` is "file", "directory", "link", "fifo", "socket", "character_device" or
--- "block_device"; times are seconds since 1970. Links are followed, unless `follow = false`.
---@param path string
---@param opts? {follow: boolean}
---@return tidegate.Stat
function fs.stat(path, opts) end

--- Is there something behind a path? ⏸ A link that leads nowhere is nothing.
---@param path string
---@return boolean
function fs.exists(path) end

--- What is in a folder, sorted by name. ⏸ Links are not followed: their type is "link".
---@param dir string
---@return {name: string, type: string}[]
function fs.list(dir) end

--- Makes a folder. ⏸ With `parents` those around it, too, and one that is there already is no error.
---@param path string
---@param opts? {parents: boolean, mode: integer}
function fs.mkdir(path, opts) end

--- Deletes a file, a link (never what it leads to) or an empty folder; ⏸ with `recursive` a folder and all in it.
---@param path string
---@param opts? {recursive: boolean}
function fs.remove(path, opts) end

--- Gives a file or a folder another name; a file that has it already is replaced in one step. ⏸
---@param from string
---@param to string
function fs.rename(from, to) end

--- Opens a regular file, or a character device. ⏸ The file is closed when the request, job or script ends, unless it
--- was closed before, or detached.
--- Modes: `r` read (the default), `w` empty and write, `a` write at the end, `x` make a new one (`exists` where one is
--- there), each with `+` to do both.
---@param path string
---@param mode? string
---@param opts? {mode: integer} permissions of a new file, less the umask (0666)
---@return tidegate.File
function fs.open(path, mode, opts) end

--- A new, open file (`w+`) with a name of its own in `dir`, for this user only. ⏸ The name is deleted when the request,
--- job or script ends; rename the file to keep it.
---@param dir? string the system's folder for that: $TMPDIR, or /tmp
---@return tidegate.File
function fs.temp_file(dir) end

--- A new folder, for this user only; deleted with all in it when the request, job or script ends. ⏸
---@param dir? string where it lies: $TMPDIR, or /tmp
---@return string path
function fs.temp_dir(dir) end

--- Tells what happens to a file, or to what is in a folder, with `recursive` in those below it, too. ⏸
--- The watch is called for the next event, so it stands in a `for`. It ends with the request, job or script.
---@param path string
---@param opts? {recursive: boolean}
---@return tidegate.Watch
function fs.watch(path, opts) end

tg.fs = fs
end

do
---@class tidegate.http
local http = {}

--- Makes a client: its settings hold for each of its requests, unless those say otherwise. Clients that are made at the
--- same line are one as to `limit` and `per_host`, in all loops and workers.
---@param opts? tidegate.http_client_options
---@return tidegate.HttpClient
function http.client(opts) end

--- Makes a request and returns its response when the head of it is there, whatever the status. ⏸
--- Errors: `timeout` (`err.which` says of what), `refused`, `reset`, `closed`, `unreachable`, `not_found`, `tls`,
--- `bad_reply`, `redirects`, `too_large`, `overload`.
---@param opts tidegate.http_options with `method` (GET) and `url`
---@return tidegate.HttpResponse
function http.request(opts) end

--- GET, as `tg.http.request`. ⏸
---@param url string
---@param opts? tidegate.http_options
---@return tidegate.HttpResponse
function http.get(url, opts) end

--- HEAD, as `tg.http.request`. ⏸
---@param url string
---@param opts? tidegate.http_options
---@return tidegate.HttpResponse
function http.head(url, opts) end

--- POST, as `tg.http.request`. ⏸
---@param url string
---@param opts? tidegate.http_options
---@return tidegate.HttpResponse
function http.post(url, opts) end

--- PUT, as `tg.http.request`. ⏸
---@param url string
---@param opts? tidegate.http_options
---@return tidegate.HttpResponse
function http.put(url, opts) end

--- PATCH, as `tg.http.request`. ⏸
---@param url string
---@param opts? tidegate.http_options
---@return tidegate.HttpResponse
function http.patch(url, opts) end

--- DELETE, as `tg.http.request`. ⏸
---@param url string
---@param opts? tidegate.http_options
---@return tidegate.HttpResponse
function http.delete(url, opts) end

--- OPTIONS, as `tg.http.request`. ⏸
---@param url string
---@param opts? tidegate.http_options
---@return tidegate.HttpResponse
function http.options(url, opts) end

tg.http = http
end

do
---@class tidegate.middleware
local middleware = {}

--- Sends the id of the request back, and keeps it in `req.ctx.request_id`. With `accept`, an id that comes with the
--- request is taken over where it has at most 128 letters, digits, dots, dashes and underscores.
---@param opts? {header: string, accept: boolean} header "x-request-id", accept false
---@return fun(req: tidegate.Request, next: function): any
function middleware.request_id(opts) end

--- Lets pages of other origins read the answers (the Fetch standard), and answers their preflights with 204. `origins`:
--- "*", one, a list, or a function of the origin and the request; `credentials` never with "*".
---@param opts? tidegate.CorsOptions
---@return fun(req: tidegate.Request, next: function): any
function middleware.cors(opts) end

--- Answers 400 to requests for other hosts. "*.example.com" stands for its subdomains, at any depth; the port does not
--- count.
---@param hosts string[]
---@return fun(req: tidegate.Request, next: function): any
function middleware.trusted_hosts(hosts) end

--- Redirects requests that have not come by HTTPS. `header` is where a proxy says it, false where none does; `hsts`:
--- seconds of Strict-Transport-Security (RFC 6797) on answers by HTTPS.
---@param opts? {status: integer, header: string|false, hsts: integer, port: integer} 307, "x-forwarded-proto"
---@return fun(req: tidegate.Request, next: function): any
function middleware.https_redirect(opts) end

--- Keeps `req.ctx.session`, a table of what JSON can say, in a sealed cookie of the client. It is written when it was
--- changed, with `rolling` on each answer, and deleted when it was set to nil or emptied. Answering raises
--- `session_too_large` past what a browser keeps, and needs `secrets` in tidegate.lua.
---@param opts? tidegate.SessionOptions
---@return fun(req: tidegate.Request, next: function): any
function middleware.sessions(opts) end

--- Gives buffered 200 answers to GET and HEAD a strong ETag, and answers 304 where the client has got them (RFC 9110
--- section 13). An ETag of the handler's own is kept. Streams pass.
---@param opts? table has none yet
---@return fun(req: tidegate.Request, next: function): any
function middleware.etag(opts) end

--- Answers 413 to bodies of more bytes: by Content-Length before the handler runs, else while they are read.
---@param bytes integer|integer[] the number, or a list of this one number
---@return fun(req: tidegate.Request, next: function): any
function middleware.body_limit(bytes) end

--- Sends Server-Timing (W3C) with the duration of what is inside, and of the names in `req.ctx.timing`, in seconds.
---@param opts? {total: string} name of the whole, "total"
---@return fun(req: tidegate.Request, next: function): any
function middleware.server_timing(opts) end

--- Adds headers that make browsers careful, where the handler has not set them. False leaves one out.
---@param opts? tidegate.SecurityHeaderOptions
---@return fun(req: tidegate.Request, next: function): any
function middleware.security_headers(opts) end

--- Compresses answers with gzip for clients that take it (RFC 9110 section 12.5.3): bodies of `min` bytes and more, and
--- streams but text/event-stream. A strong ETag becomes a weak one.
---@param opts? {min: integer, types: string[], level: integer} 1024, texts of all kinds, 6 (1 to 9)
---@return fun(req: tidegate.Request, next: function): any
function middleware.compress(opts) end

tg.middleware = middleware
end

do
---@class tidegate.net
local net = {}

--- Connects a TCP or unix socket. ⏸
--- All addresses of a name are tried, IPv6 and IPv4 by turns, each 250 ms after the one before or as soon as that has
--- failed; the first that answers wins (RFC 8305). Errors: `refused`, `timeout`, `unreachable`, `not_found`, `tls`.
--- With `tls` the connection is secured before it is returned: `true`, or a table whose files are PEM. The other side's
--- certificate is verified, with the system's or those of `ca`, and its name: `name`, or the host.
---@param address string "host:port", "[::1]:80", "unix:/path", or a host
---@param port? integer after a host
---@param options? tidegate.ConnectOptions
---@return tidegate.Stream
function net.connect(address, port, options) end

--- Listens at an address; port 0 takes a free one, see `address`. A unix socket that nobody listens at any more is
--- replaced; ours is removed when it is closed. Errors: `in_use`, `denied`, `no_address`. ⏸ for a host
---@param address string "127.0.0.1:0", "[::1]:8000", "unix:/path", or a host
---@param port? integer after a host
---@param options? { reuse_port?: boolean } share the port with other listeners that do, as of other loops
---@return tidegate.Listener
function net.listen(address, port, options) end

--- Makes a UDP socket. Without an address the kernel binds it when it first sends. ⏸ for a host
---@param address? string "127.0.0.1:0", "[::1]:53", or a host
---@param port? integer after a host
---@return tidegate.Udp
function net.udp(address, port) end

tg.net = net
end

do
---@class tidegate.process
local process = {}

--- Runs a program and returns how it ended, with its output. ⏸
--- Errors: `not_found`, `permission`, `timeout`, `too_large`, `exit_status`; the last three with `err.result`.
---@param argv string[] program and arguments; with `shell` a string
---@param opts? { stdin: string, cwd: string, env: table<string, string|number|false>, clear_env: boolean,
---   shell: boolean, timeout: number, max_output: integer, check: boolean, grace: number, stdout: string,
---   stderr: string }
---@return tidegate.ProcessResult
function process.run(argv, opts) end

--- Starts a program, and returns when it runs. ⏸
--- stdin, stdout and stderr are streams, or what the options say: "pipe", "null", "inherit", and "stdout" for stderr.
--- Errors: `not_found`, `permission`.
---@param argv string[] program and arguments; with `shell` a string
---@param opts? { cwd: string, env: table<string, string|number|false>, clear_env: boolean, shell: boolean,
---   grace: number, stdin: string, stdout: string, stderr: string }
---@return tidegate.Process
function process.spawn(argv, opts) end

tg.process = process
end

do
---@class tidegate.schema
local schema = {}

--- Any value, null included.
---@type tidegate.SchemaNode
schema.any = nil

--- Text. min_len and max_len count characters.
---@type tidegate.SchemaNode
schema.str = nil

--- A whole number, to 2^53.
---@type tidegate.SchemaNode
schema.int = nil

--- A number.
---@type tidegate.SchemaNode
schema.num = nil

--- true or false.
---@type tidegate.SchemaNode
schema.bool = nil

--- A whole number of 64 bits, exact: it becomes a 64-bit integer (LL).
---@type tidegate.SchemaNode
schema.int64 = nil

--- A date, `2026-01-31`; it stays a string.
---@type tidegate.SchemaNode
schema.date = nil

--- A date and time with its offset (RFC 3339), `2026-01-31T10:20:30Z`; it stays a string.
---@type tidegate.SchemaNode
schema.datetime = nil

--- A UUID (RFC 9562); its letters become small ones.
---@type tidegate.SchemaNode
schema.uuid = nil

--- An e-mail address.
---@type tidegate.SchemaNode
schema.email = nil

--- A URL with http or https.
---@type tidegate.SchemaNode
schema.url = nil

--- A file of a form. `max_size` and `min_size` in bytes; `types` are the media types that are taken.
---@type tidegate.SchemaNode
schema.file = nil

--- One of some strings, numbers or booleans.
---@param values any[]
---@param opts? tidegate.SchemaOptions
---@return tidegate.SchemaNode
function schema.enum(values, opts) end

--- Exactly this string, number or boolean.
---@param value any
---@param opts? tidegate.SchemaOptions
---@return tidegate.SchemaNode
function schema.literal(value, opts) end

--- A list: `S.array(S.str)`, `S.array(S.str, { max_len = 10 })`; `S.array` alone takes items of any kind.
---@type tidegate.SchemaNode|fun(item: tidegate.SchemaNode, opts?: tidegate.SchemaOptions): tidegate.SchemaNode
schema.array = nil

--- An object of any names whose values are alike: `S.map(S.int)`; `S.map` alone takes values of any kind.
---@type tidegate.SchemaNode|fun(value: tidegate.SchemaNode, opts?: tidegate.SchemaOptions): tidegate.SchemaNode
schema.map = nil

--- An object of fields: `S.obj{ name = S.str }`, or in this order `S.obj{ {"id", S.int}, {"name", S.str} }`;
--- `S.obj` alone takes any object.
---@type tidegate.SchemaNode|fun(fields: table, opts?: tidegate.SchemaOptions): tidegate.SchemaNode
schema.obj = nil

--- The first of some schemas that a value fits. With `discriminator = "kind"` that field, an S.literal or S.enum of
--- each alternative, says which one is meant.
---@param alternatives tidegate.SchemaNode[]
---@param opts? tidegate.SchemaOptions
---@return tidegate.SchemaNode
function schema.union(alternatives, opts) end

--- A schema that a function returns, asked at the first use: for those that contain themselves.
---@param resolve fun(): tidegate.SchemaNode
---@return tidegate.SchemaNode
function schema.lazy(resolve) end

--- The same, but it may be absent.
---@param node tidegate.SchemaNode
---@return tidegate.SchemaNode
function schema.optional(node) end

--- The same, but it may be JSON's null, which is tg.null.
---@param node tidegate.SchemaNode
---@return tidegate.SchemaNode
function schema.nullable(node) end

--- A header that a dependency needs; its text is converted to what the schema says.
---@param name string
---@param node? tidegate.SchemaNode S.str where it is not given
function schema.header(name, node) end

--- A query parameter that a dependency needs.
---@param name string
---@param node? tidegate.SchemaNode S.str where it is not given
function schema.query(name, node) end

--- A cookie that a dependency needs.
---@param name string
---@param node? tidegate.SchemaNode S.str where it is not given
function schema.cookie(name, node) end

--- A parameter of the path that a dependency needs.
---@param name string
---@param node? tidegate.SchemaNode S.str where it is not given
function schema.path(name, node) end

tg.schema = schema
end

do
---@class tidegate.security
local security = {}

--- A key in a header, a query parameter or a cookie: `tg.security.api_key{ header = "x-key", check = fn }`, with
--- fn(key, req).
---@param options tidegate.SecurityOptions
---@return tidegate.SecurityDep
function security.api_key(options) end

--- A name and a password (RFC 7617): `tg.security.basic{ check = fn }`, with fn(user, password, req).
---@param options tidegate.SecurityOptions
---@return tidegate.SecurityDep
function security.basic(options) end

--- A token (RFC 6750): `tg.security.bearer{ format = "JWT", check = fn }`, with fn(token, req).
---@param options tidegate.SecurityOptions
---@return tidegate.SecurityDep
function security.bearer(options) end

--- A token of an authorisation server (OAuth 2): `tg.security.oauth2{ token_url = "/token", scopes = { read = "see" },
--- check = fn }`, with fn(token, req), which returns who it is and the scopes. How it knows is its own business.
---@param options tidegate.SecurityOptions
---@return tidegate.SecurityDep
function security.oauth2(options) end

tg.security = security
end

do
--- HTML and other texts, made of templates with data. The files of `templates/` are compiled once a generation.
---@class tidegate.template
local template = {}

--- An answer made by a template: `page` is the file templates/page.html. Raises `no_template` where there is none.
--- It suspends where the template does.
---@param name string
---@param data? table what the template knows by name
---@param opts? {status: integer, headers: table, type: string}
function template.render(name, data, opts) end

--- The text that a template makes, for a mail or a part of a page. It suspends where the template does.
---@param name string
---@param data? table
---@return string
function template.text(name, data) end

--- A template by its name, to be used again and again.
---@param name string
---@return tidegate.Template
function template.get(name) end

--- A template of a text of yours; never of what a client has sent: a template runs Lua. It can include templates of the
--- application. Raises `bad_template` with the line where it is malformed.
---@param source string
---@param name? string what errors call it; "text.html" where it is not given. Its ending says whether it is escaped
---@return tidegate.Template
function template.string(source, name) end

tg.template = template
end

do
---@class tidegate.test
---@field live boolean do the tests run against a live server (`--live`)?
local test = {}

--- A client that keeps cookies and has defaults for its requests.
---@param opts? tidegate.test_client_options
---@return tidegate.TestClient
function test.client(opts) end

--- Makes a request of the application and returns its answer. ⏸ A call that is cancelled is a client that goes away.
---@param method string
---@param path string begins with "/", with its query, encoded
---@param opts? tidegate.test_options
---@return tidegate.test_response
function test.request(method, path, opts) end

--- GET. ⏸
---@param path string
---@param opts? tidegate.test_options
---@return tidegate.test_response
function test.get(path, opts) end

--- HEAD. ⏸
---@param path string
---@param opts? tidegate.test_options
---@return tidegate.test_response
function test.head(path, opts) end

--- POST. ⏸
---@param path string
---@param opts? tidegate.test_options
---@return tidegate.test_response
function test.post(path, opts) end

--- PUT. ⏸
---@param path string
---@param opts? tidegate.test_options
---@return tidegate.test_response
function test.put(path, opts) end

--- PATCH. ⏸
---@param path string
---@param opts? tidegate.test_options
---@return tidegate.test_response
function test.patch(path, opts) end

--- DELETE. ⏸
---@param path string
---@param opts? tidegate.test_options
---@return tidegate.test_response
function test.delete(path, opts) end

--- OPTIONS. ⏸
---@param path string
---@param opts? tidegate.test_options
---@return tidegate.test_response
function test.options(path, opts) end

--- Puts something in the place of a dependency, wherever it is needed, until the test ends; in a `setup` until its
--- block does. Against a live server the test is skipped.
---@param dep any what `tg.dep` has returned
---@param fake any a function (req, d) that returns the value, or another dependency
function test.override(dep, fake) end

tg.test = test
end

do
--- Called, `tg.upstream(name)` gives the upstream of that name in tidegate.lua. An unknown name is an error.
---@class tidegate.upstream
---@overload fun(name: string): tidegate.Upstream
local upstream = {}

--- The names of all upstreams, in order.
---@return string[]
function upstream.names() end

tg.upstream = upstream
end

--- Ends the request with an error answer (RFC 9457): raises it, so that nothing after it runs.
---@param status integer 400 to 599
---@param detail? string|table what the client may read; a table: members of the document (detail, type, title, others)
---@param headers? table<string, string>
function tg.abort(status, detail, headers) end

--- Runs all functions at the same time; returns the result of the first that succeeds. The others are cancelled and
--- awaited. When all fail, their errors are raised as a `group`. ⏸
---@param ... function|function[] as for tg.gather
---@return any value
---@return integer index which one it was
function tg.any(...) end

--- The version of what `tg` offers. With a number, as in `tg.api(1)` at the top of an application: raises `api_version`
--- where this is another one.
---@param version? integer the one that the application was written for
---@return integer version
function tg.api(version) end

--- Calls fn(...) and makes sure that nothing else runs meanwhile: a call that would suspend raises `yield_in_atomic`.
---@param fn function
---@return any ...
function tg.atomic(fn, ...) end

--- Runs a function as a task of the application: it goes on after the request. Its error is logged. At a reload or at
--- the end it has `timeouts.drain` to come to its end, then it is cancelled.
---@param fn function
---@param ... any its arguments
---@return tidegate.Task task
function tg.background(fn, ...) end

--- A barrier for `parties` tasks.
---@param parties integer
---@return tidegate.Barrier
function tg.barrier(parties) end

--- Runs a function in a worker's Lua state, where it may block, and returns its results. ⏸
---@param what string|function "module.fn", or a function without upvalues
---@param ... any copied
function tg.blocking(what, ...) end

--- Bytes of a media type.
---@param body string
---@param media? string application/octet-stream where it is not given
---@param opts? {status: integer, headers: table}
function tg.bytes(body, media, opts) end

--- A channel for up to `capacity` values; with 0, or nothing, a sender waits for a receiver.
---@param capacity? integer
---@return tidegate.Channel
function tg.channel(capacity) end

--- Raises `cancelled` where nobody waits any more for what this task does; for code that computes for long.
function tg.check_cancelled() end

--- A condition for a mutex, or with a mutex of its own.
---@param mutex? tidegate.Mutex
---@return tidegate.Condition
function tg.condition(mutex) end

--- Seconds that are left until the earliest deadline around the running code; nil without one.
---@return number? seconds
function tg.deadline() end

--- Runs fn(ok, err) at the end of the running task, the last one first: on return, error and cancellation.
--- Before a buffered answer is sent, so that its error becomes the answer; after the end of a stream.
---@param fn fun(ok: boolean, err: any)
function tg.defer(fn) end

--- Declares a dependency: something that handlers get in `req.deps`, made once a request. Use it in `deps` of a route,
--- a file, a group or tidegate.lua, or in `needs` of another one.
--- `run(req, d)` returns the value, or hands it over by tg.provide; `d` holds what it `needs`. The other keys: `fresh`
--- (made each time it is needed), `blocking` (runs in a worker), `scope` ("handler" or "response": when the teardown
--- runs), `provides` (where tg.provide is called by another function).
---@param spec function|table the function, or { run = .., needs = .., fresh = .., blocking = .., scope = .. }
---@return table dep
function tg.dep(spec) end

--- Runs all functions at the same time; an iterator over them in order of completion: `for row, index in
--- tg.each_done(f, g)`, with rows like those of tg.settle. Whoever leaves the loop early has the rest run on until the
--- end of the scope. ⏸
---@param ... function|function[] as for tg.gather
---@return fun(): table?, integer?
function tg.each_done(...) end

--- An event that is not set.
---@return tidegate.Event
function tg.event() end

--- Calls fn every `seconds`, for the application: never two at once, without drift, first after `seconds` (at least a
--- millisecond). Its errors are logged and it goes on; it ends with its generation, or by `task:cancel()`.
---@param seconds number more than 0
---@param fn function
---@return tidegate.Task task
function tg.every(seconds, fn) end

--- A file, with what clients need to keep it, to ask again, and to go on where they were interrupted: ETag,
--- Last-Modified, ranges. ⏸ Raises 404 when it is not there. A relative path begins at the application's folder.
--- With a status of its own it is sent whole, whatever the request's conditions say.
---@param path string
---@param opts? {status: integer, headers: table, type: string, download: string|boolean, max_age: integer}
function tg.file(path, opts) end

--- Runs all functions at the same time; returns their first results in order. ⏸
--- The first error cancels the others, waits for them, and is raised as a `group`.
---@param ... function|function[] functions; or one table of them (then one table is returned); or an iterator
---@return any ...
function tg.gather(...) end

--- An HTML page.
---@param body string
---@param opts? {status: integer, headers: table}
function tg.html(body, opts) end

--- A date as in HTTP header fields (RFC 9110 section 5.6.7): "Fri, 02 Jan 2026 03:04:05 GMT".
---@param t? number seconds since 1970, cut to a whole one; now where it is not given
---@return string
function tg.http_date(t) end

--- JSON lines, one value a line: `source(out)` is called, and out:send(value) sends. Instead of that function an
--- iterator, or a list, of values.
---@param source fun(out: tidegate.Lines)|fun(): any|any[]
---@param opts? {status: integer, headers: table, type: string} application/jsonl where no type is given
function tg.json_lines(source, opts) end

--- Calls fn(item, index) for every item, at most `limit` at the same time; a table of the first results, in order. ⏸
--- The first error cancels the others and is raised as a `group`; with `errors = "collect"` the table has rows like
--- those of tg.settle.
---@param list any[]|function items, or an iterator that gives them
---@param fn fun(item: any, index: integer): any
---@param opts? {limit?: integer, timeout?: number, retry?: integer|table, errors?: "raise"|"collect"} `timeout`:
--- seconds for each attempt; `retry`: how many more attempts, or `{times =, pause =}` with the first pause in seconds
---@return any[] results
function tg.map(list, fn, opts) end

--- Like tg.timeout, but returns nil, "timeout" when the time is over. ⏸
---@param seconds number
---@param fn function
---@return any ...
function tg.move_on(seconds, fn, ...) end

--- A mutex that is free.
---@return tidegate.Mutex
function tg.mutex() end

--- Runs a function in the Lua state of the loop that the request came from, and returns its results; for code in
--- workers. ⏸
---@param what string|function "module.fn", or a function without upvalues
---@param ... any copied
function tg.on_loop(what, ...) end

--- Runs fn(name) in a task of the application's scope whenever the process gets the signal: in one loop of the process,
--- or with `every_loop` in each. Belongs to the generation that called it. Errors are logged.
---@param name "SIGUSR1"|"SIGUSR2"|"SIGHUP" SIGHUP in scripts only: it reloads an application
---@param fn fun(name: string)
---@param opts? {every_loop: boolean}
function tg.on_signal(name, fn, opts) end

--- Reads a date of an HTTP header field: any of the three forms of RFC 9110 section 5.6.7; strict.
---@param text string
---@return number? seconds since 1970
---@return string? why it is none
function tg.parse_http_date(text) end

--- Reads a date of RFC 3339; strict. A leap second counts as the first second of the next minute.
---@param text string
---@return number? seconds since 1970
---@return string? why it is none
function tg.parse_rfc3339(text) end

--- Hands a value over to those who need it, and waits until they are done; for a function of tg.dep, once. ⏸
--- Returns true, or false and the error with which the handler ended. That error is raised again after the dependency
--- has returned, so it cannot be lost; an error of the dependency's own takes its place.
---@param value any
---@return boolean ok
---@return any err
function tg.provide(value) end

--- Sends the request to a peer of an upstream, and returns its answer once the head of it is there. ⏸
--- The answer is one to return from the handler: `status`, `headers`, and a body that goes to the client as it comes,
--- without passing Lua. `on_response(res)` may change head and status, or return another answer; `res:text()` ⏸,
--- `res:json()` ⏸ and `res:chunks()` ⏸ read the body; `on_body(piece)` gets each piece, and nil at the end, and returns
--- what is sent instead. An answer that is not returned is given up when the request ends.
--- Raises `timeout` (504), `overload` (503), `no_peer` and whatever a connection fails with (502).
---@param name string of the upstream
---@param opts? table path, method, body, headers, host, timeout, retries, mirror, on_response, on_body and others
---@return table answer
function tg.proxy(name, opts) end

--- Runs all functions at the same time; the first to finish decides: its result is returned, or its error raised. The
--- others are cancelled and awaited. ⏸
---@param ... function|function[] as for tg.gather
---@return any value
---@return integer index which one it was
function tg.race(...) end

--- Random bytes of the kernel, good for keys and tokens.
---@param count integer 0 to 1048576
---@return string
function tg.random_bytes(count) end

--- A redirect (RFC 9110 section 15.4).
---@param url string
---@param status? integer 302 where it is not given
---@param opts? {headers: table}
function tg.redirect(url, status, opts) end

--- A date as in RFC 3339: "2026-01-02T03:04:05.678Z".
---@param t? number seconds since 1970, with fractions; now where it is not given
---@param opts? {utc: boolean, offset: string|number, digits: integer}
---   `digits` of the fraction (3), to which the time is rounded; `offset` "+02:00" or seconds instead of "Z";
---   `utc = false` for the offset of the machine's time zone
---@return string
function tg.rfc3339(t, opts) end

--- Declares the routes of a file by calls instead of keys.
---@param fn fun(r: table) calls r:get(path, spec?, run), r:post ... r:any, r:on(methods, path, spec?, run)
---@return table routes what the route file returns
function tg.routes(fn) end

--- A nursery: calls fn(scope, ...), and returns its results when every task that was started in it has ended. ⏸
--- `scope:spawn(fn, ...)` starts one; the first that fails cancels the others and fn, and all failures are raised as a
--- `group`. `scope:cancel(reason)` ends all of it, without an error.
---@param fn fun(scope: tidegate.Scope, ...): any
---@return any ...
function tg.scope(fn, ...) end

--- Waits until one of the cases is ready, and does it. ⏸ A case is a channel (receives), an event (waits), a semaphore
--- (acquires), a mutex (locks), { channel, "send", value }, or false (switched off).
--- Of several that are ready, each has the same chance.
---@param cases table a list; `timeout` in seconds; `default = true`: does not wait
---@return integer|"timeout"|"default" which number of the case
---@return any value what was received
---@return "closed"? why
function tg.select(cases) end

--- A semaphore of `places` places.
---@param places integer
---@return tidegate.Semaphore
function tg.semaphore(places) end

--- Runs all functions at the same time and never raises: a list of `{ok = true, value = v}` or `{ok = false, err = e}`
--- in order. ⏸
---@param ... function|function[] as for tg.gather
---@return table[] rows
function tg.settle(...) end

--- Calls fn() so that a cancellation from outside reaches it `max_seconds` late: for clean-up that must wait for
--- something. ⏸
---@param fn function
---@param max_seconds? number 5 without
---@return any ...
function tg.shield(fn, max_seconds) end

--- Suspends the task for `seconds` (0 lets others run first); precise to a millisecond. ⏸
---@param seconds number at least 0, at most 1e9
function tg.sleep(seconds) end

--- Starts a child of the running task, in the scope that it is in; it begins at the next suspension. The scope ends
--- when it has ended, and an error that nobody joins is raised there.
---@param fn function
---@param ... any its arguments
---@return tidegate.Task task
function tg.spawn(fn, ...) end

--- Server-sent events (WHATWG HTML, section 9.2): `source(out)` is called, and out:send{data=, event=, id=, retry=}
--- sends. Instead of that function an iterator, or a list, of events. After `keepalive` seconds (15) without an event
--- a comment is sent; false: never.
---@param source fun(out: tidegate.Events)|fun(): string|table?|table
---@param opts? {status: integer, headers: table, keepalive: number|false}
function tg.sse(source, opts) end

--- A handler that serves the files below a folder; the last parameter of its route is the path of a file there. What
--- leads out of the folder, by `..` or a link, is 404. A relative folder begins at the application's.
---@param dir string
---@param opts? tidegate.StaticOptions
---@return fun(req: table): any
function tg.static(dir, opts) end

--- A streamed answer: `source(out)` is called after the head was decided, and out:write(s) sends. Instead of that
--- function an iterator, or a list, of strings.
---@param source fun(out: tidegate.Out)|fun(): string?|string[]
---@param opts? {status: integer, headers: table, type: string, length: integer}
function tg.stream(source, opts) end

--- Plain text.
---@param body string
---@param opts? {status: integer, headers: table}
function tg.text(body, opts) end

--- Calls fn(...) with a deadline and returns its results: when `seconds` are over, what it waits for is cancelled, and
--- `timeout` is raised here. Deadlines nest; the earliest wins. ⏸
---@param seconds number
---@param fn function
---@return any ...
function tg.timeout(seconds, fn, ...) end

--- `result...`, or `nil, err`: an error as a value. Cancellation goes on.
---@param fn function
---@return any ...
function tg.try(fn, ...) end

--- A new UUID (RFC 9562): 36 characters in lower case.
---@param version? integer 4 (random; the default), or 7: begins with the time; those of one Lua state go up
---@return string
function tg.uuid(version) end

--- Answers with a WebSocket (RFC 6455): after the handshake `run(ws)` is called, and the socket is closed when it
--- returns. A request that is no handshake is answered 426, one from a page of another origin 403.
---@param run fun(ws: tidegate.WebSocket)
---@param opts? {protocols: string[], origins: string[], ping: number|false, max_message: integer,
---   compress: boolean|"context", headers: table}
---   subprotocols, the dearest first; origins of pages beside our own; seconds of silence after which the client is
---   asked whether it is there (20); bytes of a message (limits.websocket_message); each message compressed by itself,
---   or with those before; fields of the answer
function tg.websocket(run, opts) end

--- Lets other tasks and the sockets have their turn. ⏸
function tg.yield() end

return tg
