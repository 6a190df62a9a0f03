-- What a handler may return besides tables and strings: answer objects. They are plain tables with one metatable, which
-- core/bind/response.c knows; nothing is sent before the handler has returned.

local core = require "tidegate._core.core"
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

--- A streamed answer: `run(out)` is called after the head was decided; out:write(s) sends, and may suspend
--- @param run fun(out: table)
--- @param opts? {status: integer, headers: table, type: string, length: integer}
function M.stream(run, opts)
  if type(run) ~= "function" then
    throw("not_function", "tg.stream: got " .. type(run) .. "; pass a function that takes `out`")
  end
  local made = answer("stream", opts, { run = run })
  local length = opts and opts.length
  if length ~= nil and (type(length) ~= "number" or length < 0 or length > 2 ^ 53 or length % 1 ~= 0) then
    throw("bad_answer", "tg.stream: the length is a whole number of bytes")
  end
  made.type = opts and opts.type or "application/octet-stream"
  made.length = length
  return made
end

--- Server-sent events (WHATWG HTML, section 9.2): `run(out)` is called, out:send{data=, event=, id=, retry=} sends.
--- @param run fun(out: table)
--- @param opts? {status: integer, headers: table}
function M.sse(run, opts)
  local made = M.stream(run, opts)
  local headers = { ["cache-control"] = "no-cache", ["x-accel-buffering"] = "no" }
  for name, value in pairs(made.headers or {}) do
    headers[name] = value
  end
  made.type, made.headers, made.length = "text/event-stream", headers, nil
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
