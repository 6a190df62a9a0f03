-- The parts of the OpenAPI document that are about errors: every error answer is a problem document (RFC 9457).

local tg = require("tidegate")

local M = {}

local array = tg.json.array

local function text(description)
  return { type = "string", description = description }
end

local function problem_schema()
  return {
    type = "object",
    description = "A problem document (RFC 9457)",
    properties = {
      type = { type = "string", format = "uri-reference", default = "about:blank" },
      title = text("what the status is called"),
      status = { type = "integer", minimum = 400, maximum = 599 },
      detail = text("what is wrong with this request"),
      instance = text("the path that was asked for"),
    },
    required = array { "type", "title", "status" },
  }
end

local function failure_schema()
  return {
    type = "object",
    properties = {
      loc = {
        type = "array", description = "where: body, query, path, header or cookie, then names and indices from 0",
        items = { type = array { "string", "integer" } },
      },
      msg = text("what is wrong"),
      type = text("the kind of failure, a stable word"),
      input = { description = "what was given" },
    },
    required = array { "loc", "msg", "type" },
  }
end

-- name of the response -> the name of its schema, and what it says.
local kinds = {
  Problem = { "Problem", "An error" },
  Invalid = { "ValidationProblem", "The request is well-formed and not valid: `errors` has every field that is wrong" },
  Unauthorized = { "Problem", "Who asks is not known: nothing, or nothing valid, says it" },
  Forbidden = { "Problem", "Who asks may not do this" },
}

-- "#/components/schemas/Problem", or another name where the application has a schema of that name.
local function schema_name(doc, name)
  local schemas = doc.components.schemas
  while schemas[name] do
    name = "Tidegate" .. name
  end
  return name
end

--- The content of an answer that is a problem document.
--- @param doc table
--- @return table
function M.content(doc)
  doc.problems = doc.problems or {}
  doc.problem_ref = doc.problem_ref or {}
  return { ["application/problem+json"] = { schema = doc.problem_ref } }
end

--- A reference to a response of the components, which `finish` adds.
--- @param doc table
--- @param kind string
--- @return table
function M.response(doc, kind)
  doc.problems = doc.problems or {}
  doc.problems[kind] = true
  return { ["$ref"] = "#/components/responses/" .. kind }
end

local function add_schemas(doc)
  local schemas = doc.components.schemas
  local problem, validation = schema_name(doc, "Problem"), schema_name(doc, "ValidationProblem")
  schemas[problem] = problem_schema()
  if doc.problems.Invalid then
    schemas[validation] = {
      allOf = array { { ["$ref"] = "#/components/schemas/" .. problem } },
      type = "object",
      properties = { errors = { type = "array", items = failure_schema() } },
      required = array { "errors" },
    }
  end
  if doc.problem_ref then
    doc.problem_ref["$ref"] = "#/components/schemas/" .. problem -- the name is known only now
  end
  return { Problem = problem, ValidationProblem = validation }
end

--- @param doc table
function M.finish(doc)
  if not doc.problems then
    return
  end
  local names = add_schemas(doc)
  for kind in pairs(doc.problems) do
    local row = kinds[kind]
    doc.components.responses[kind] = {
      description = row[2],
      content = { ["application/problem+json"] = { schema = { ["$ref"] = "#/components/schemas/" .. names[row[1]] } } },
    }
  end
end

local reasons = {
  [200] = "OK", [201] = "Created", [202] = "Accepted", [203] = "Non-Authoritative Information", [204] = "No Content",
  [205] = "Reset Content", [206] = "Partial Content", [301] = "Moved Permanently", [302] = "Found", [303] = "See Other",
  [304] = "Not Modified", [307] = "Temporary Redirect", [308] = "Permanent Redirect", [400] = "Bad Request",
  [401] = "Unauthorized", [403] = "Forbidden", [404] = "Not Found", [405] = "Method Not Allowed",
  [406] = "Not Acceptable", [408] = "Request Timeout", [409] = "Conflict", [410] = "Gone",
  [411] = "Length Required", [412] = "Precondition Failed", [413] = "Content Too Large", [414] = "URI Too Long",
  [415] = "Unsupported Media Type", [416] = "Range Not Satisfiable", [418] = "I'm a teapot",
  [422] = "Unprocessable Content", [423] = "Locked", [425] = "Too Early", [428] = "Precondition Required",
  [429] = "Too Many Requests", [431] = "Request Header Fields Too Large", [451] = "Unavailable For Legal Reasons",
  [500] = "Internal Server Error", [501] = "Not Implemented", [502] = "Bad Gateway", [503] = "Service Unavailable",
  [504] = "Gateway Timeout",
}

--- The words of a status (RFC 9110 section 15).
--- @param status integer
--- @return string
function M.reason(status)
  return reasons[status] or "Status " .. status
end

return M
