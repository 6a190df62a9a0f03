-- tg.middleware: middleware that most applications need. Each function takes options, when the application loads, and
-- returns what goes into `use`.

local M = {}

--- @class tidegate.CorsOptions
--- @field origins? string|string[]|fun(origin: string, req: tidegate.Request): boolean "*" where it is not given
--- @field methods? string[] of preflights: GET, HEAD, POST, PUT, PATCH, DELETE
--- @field headers? string|string[] that requests may have; "*" for all
--- @field expose? string[] headers of answers that pages may see
--- @field credentials? boolean cookies and the like may be sent (false)
--- @field max_age? integer seconds that browsers keep what a preflight said

--- @class tidegate.SessionOptions
--- @field cookie? string its name, "session"
--- @field max_age? integer seconds, 14 days
--- @field secure? boolean sent by HTTPS only (false)
--- @field same_site? "Lax"|"Strict"|"None" Lax
--- @field path? string "/"
--- @field domain? string the host alone where it is not given
--- @field rolling? boolean written with each answer, so that max_age counts from the last one (false)

--- @class tidegate.SecurityHeaderOptions
--- @field content_type? boolean X-Content-Type-Options: nosniff
--- @field frame? string|false X-Frame-Options, "DENY"
--- @field referrer? string|false Referrer-Policy, "strict-origin-when-cross-origin"
--- @field opener? string|false Cross-Origin-Opener-Policy, "same-origin"
--- @field csp? string Content-Security-Policy
--- @field permissions? string Permissions-Policy

--- Sends the id of the request back, and keeps it in `req.ctx.request_id`. With `accept`, an id that comes with the
--- request is taken over where it has at most 128 letters, digits, dots, dashes and underscores.
--- @param opts? {header: string, accept: boolean} header "x-request-id", accept false
--- @return fun(req: tidegate.Request, next: function): any
function M.request_id(opts)
  return require("tidegate._core.kit_small").request_id(opts)
end

--- Lets pages of other origins read the answers (the Fetch standard), and answers their preflights with 204. `origins`:
--- "*", one, a list, or a function of the origin and the request; `credentials` never with "*".
--- @param opts? tidegate.CorsOptions
--- @return fun(req: tidegate.Request, next: function): any
function M.cors(opts)
  return require("tidegate._core.kit_cors")(opts)
end

--- Answers 400 to requests for other hosts. "*.example.com" stands for its subdomains, at any depth; the port does not
--- count.
--- @param hosts string[]
--- @return fun(req: tidegate.Request, next: function): any
function M.trusted_hosts(hosts)
  return require("tidegate._core.kit_hosts").trusted(hosts)
end

--- Redirects requests that have not come by HTTPS. `header` is where a proxy says it, false where none does; `hsts`:
--- seconds of Strict-Transport-Security (RFC 6797) on answers by HTTPS.
--- @param opts? {status: integer, header: string|false, hsts: integer, port: integer} 307, "x-forwarded-proto"
--- @return fun(req: tidegate.Request, next: function): any
function M.https_redirect(opts)
  return require("tidegate._core.kit_hosts").https(opts)
end

--- Keeps `req.ctx.session`, a table of what JSON can say, in a sealed cookie of the client. It is written when it was
--- changed, with `rolling` on each answer, and deleted when it was set to nil or emptied. Answering raises
--- `session_too_large` past what a browser keeps, and needs `secrets` in tidegate.lua.
--- @param opts? tidegate.SessionOptions
--- @return fun(req: tidegate.Request, next: function): any
function M.sessions(opts)
  return require("tidegate._core.kit_sessions")(opts)
end

--- Gives buffered 200 answers to GET and HEAD a strong ETag, and answers 304 where the client has got them (RFC 9110
--- section 13). An ETag of the handler's own is kept. Streams pass.
--- @param opts? table has none yet
--- @return fun(req: tidegate.Request, next: function): any
function M.etag(opts)
  return require("tidegate._core.kit_etag")(opts)
end

--- Answers 413 to bodies of more bytes: by Content-Length before the handler runs, else while they are read.
--- @param bytes integer|integer[] the number, or a list of this one number
--- @return fun(req: tidegate.Request, next: function): any
function M.body_limit(bytes)
  return require("tidegate._core.kit_small").body_limit(bytes)
end

--- Sends Server-Timing (W3C) with the duration of what is inside, and of the names in `req.ctx.timing`, in seconds.
--- @param opts? {total: string} name of the whole, "total"
--- @return fun(req: tidegate.Request, next: function): any
function M.server_timing(opts)
  return require("tidegate._core.kit_small").server_timing(opts)
end

--- Adds headers that make browsers careful, where the handler has not set them. False leaves one out.
--- @param opts? tidegate.SecurityHeaderOptions
--- @return fun(req: tidegate.Request, next: function): any
function M.security_headers(opts)
  return require("tidegate._core.kit_small").security_headers(opts)
end

--- Compresses answers with gzip for clients that take it (RFC 9110 section 12.5.3): bodies of `min` bytes and more, and
--- streams but text/event-stream. A strong ETag becomes a weak one.
--- @param opts? {min: integer, types: string[], level: integer} 1024, texts of all kinds, 6 (1 to 9)
--- @return fun(req: tidegate.Request, next: function): any
function M.compress(opts)
  return require("tidegate._core.kit_compress")(opts)
end

return M
