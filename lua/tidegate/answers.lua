-- What a handler may return besides tables and strings: answer objects. They are plain tables with one metatable, which
-- core/bind/response.c knows; nothing is sent before the handler has returned.

local core = require "tidegate._core.core"
local streams = require "tidegate._core.streams"
local meta = core.handler.answer_meta
local throw = core.error_throw

local M = {}

local function answer(kind, opts, fields)
  if opts ~= nil and type(opts) ~= "table" then
    throw("bad_answer", "the options of an answer are a table {status=, headers=}, not a " .. type(opts))
  end
  fields.kind = kind
  if opts then
    fields.status = opts.status
    fields.headers = opts.headers
  end
  return setmetatable(fields, meta)
end

local function text(name, body)
  if type(body) == "number" then
    return tostring(body)
  elseif type(body) ~= "string" then
    throw("bad_answer", name .. ": a string is expected, not a " .. type(body))
  end
  return body
end

--- An HTML page.
--- @param body string
--- @param opts? {status: integer, headers: table}
function M.html(body, opts)
  return answer("bytes", opts, { type = "text/html; charset=utf-8", body = text("tg.html", body) })
end

--- Plain text.
--- @param body string
--- @param opts? {status: integer, headers: table}
function M.text(body, opts)
  return answer("bytes", opts, { type = "text/plain; charset=utf-8", body = text("tg.text", body) })
end

--- Bytes of a media type.
--- @param body string
--- @param media? string application/octet-stream where it is not given
--- @param opts? {status: integer, headers: table}
function M.bytes(body, media, opts)
  return answer("bytes", opts, { type = media or "application/octet-stream", body = text("tg.bytes", body) })
end

--- Any value as JSON: also strings, numbers and booleans. `tg.json(v, opts)` calls this. With a schema, only what that
--- declares is written.
--- @param value any
--- @param opts? {status: integer, headers: table, schema: tidegate.SchemaNode}
function M.json(value, opts)
  local made = answer("json", opts, { body = value })
  if opts and opts.schema ~= nil then
    local schema = require "tidegate._core.schema"
    made.schema = schema.program(schema.as(opts.schema, "tg.json: schema"))
  end
  return made
end

local redirects = { [301] = true, [302] = true, [303] = true, [307] = true, [308] = true }

--- A redirect (RFC 9110 section 15.4).
--- @param url string
--- @param status? integer 302 where it is not given
--- @param opts? {headers: table}
function M.redirect(url, status, opts)
  status = status or 302
  if not redirects[status] then
    throw("bad_answer", "tg.redirect: the status is 301, 302, 303, 307 or 308")
  end
  if type(url) ~= "string" or url:find("[%c%s]") then
    throw("bad_answer", "tg.redirect: the target is a URL without spaces and control bytes")
  end
  local made = answer("bytes", opts, { body = "" })
  local headers = { location = url }
  for name, value in pairs(made.headers or {}) do
    headers[name] = value
  end
  made.status, made.headers = status, headers
  return made
end

-- A stream's answer object; `run` is a function of `out`.
local function stream(name, run, opts)
  local made = answer("stream", opts, { run = run })
  local length = opts and opts.length
  if length ~= nil and (type(length) ~= "number" or length < 0 or length > 2 ^ 53 or length % 1 ~= 0) then
    throw("bad_answer", name .. ": the length is a whole number of bytes")
  end
  made.type, made.length = opts and opts.type, length
  return made
end

--- A streamed answer: `source(out)` is called after the head was decided, and out:write(s) sends. Instead of that
--- function an iterator, or a list, of strings.
--- @param source fun(out: tidegate.Out)|fun(): string?|string[]
--- @param opts? {status: integer, headers: table, type: string, length: integer}
function M.stream(source, opts)
  local made = stream("tg.stream", streams.bytes(source), opts)
  made.type = made.type or "application/octet-stream"
  return made
end

--- JSON lines, one value a line: `source(out)` is called, and out:send(value) sends. Instead of that function an
--- iterator, or a list, of values.
--- @param source fun(out: tidegate.Lines)|fun(): any|any[]
--- @param opts? {status: integer, headers: table, type: string} application/jsonl where no type is given
function M.json_lines(source, opts)
  local made = stream("tg.json_lines", streams.json_lines(source), opts)
  made.type, made.length = made.type or "application/jsonl", nil
  return made
end

local KEEPALIVE = 15

--- Server-sent events (WHATWG HTML, section 9.2): `source(out)` is called, and out:send{data=, event=, id=, retry=}
--- sends. Instead of that function an iterator, or a list, of events. After `keepalive` seconds (15) without an event
--- a comment is sent; false: never.
--- @param source fun(out: tidegate.Events)|fun(): string|table?|table
--- @param opts? {status: integer, headers: table, keepalive: number|false}
function M.sse(source, opts)
  local made = stream("tg.sse", streams.events(source), opts)
  local keepalive = opts and opts.keepalive
  if keepalive == nil then
    keepalive = KEEPALIVE
  elseif keepalive ~= false and not (type(keepalive) == "number" and keepalive >= 0.05 and keepalive <= 1e9) then
    throw("bad_answer", "tg.sse: keepalive is a number of seconds from 0.05, or false")
  end
  local headers = { ["cache-control"] = "no-cache", ["x-accel-buffering"] = "no" }
  for name, value in pairs(made.headers or {}) do
    headers[type(name) == "string" and name:lower() or name] = value
  end
  made.type, made.headers, made.length, made.keepalive = "text/event-stream", headers, nil, keepalive
  return made
end

--- Ends the request with an error answer (RFC 9457): raises it, so that nothing after it runs.
--- @param status integer 400 to 599
--- @param detail? string|table what the client may read; a table: members of the document (detail, type, title, others)
--- @param headers? table<string, string>
function M.abort(status, detail, headers)
  if type(status) ~= "number" or status < 400 or status > 599 or status % 1 ~= 0 then
    throw("bad_answer", "tg.abort: the status is a whole number from 400 to 599")
  end
  for name, value in pairs(headers or {}) do
    if type(name) ~= "string" or name:find("[^%w!#$%%&'*+.^_`|~-]") or tostring(value):find("[%z\1-\8\10-\31\127]") then
      throw("bad_header", "tg.abort: header '" .. tostring(name):gsub("%c", "?") .. "' cannot be sent")
    end
  end
  local problem = type(detail) == "table" and detail or nil
  local said = detail and tostring(problem and (problem.detail or problem.title or status) or detail)
  throw("http", said or tostring(status), {
    status = status, detail = problem and problem.detail or not problem and said or nil, headers = headers,
    problem = problem,
  })
end

return M
