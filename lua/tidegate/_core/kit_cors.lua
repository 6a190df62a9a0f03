-- CORS: which pages of other origins may read the answers (the Fetch standard, "CORS protocol").

local arguments = require "tidegate._core.arguments"
local kit = require "tidegate._core.kit"

local concat = table.concat
local misuse = arguments.misuse
local what = "tg.middleware.cors"

local known = {
  origins = "string|table|function", methods = "table", headers = "string|table", expose = "table",
  credentials = "boolean", max_age = "number",
}

local function is_origin(text)
  return text == "null" or text:find("^%l[%l%d+.-]*://[^/%s,%c%u]+$") ~= nil
end

-- fn(origin, req) -> may it?
local function chooser(origins)
  if type(origins) == "function" then
    return origins
  end
  local set = {}
  for _, origin in ipairs(kit.check_list(what, origins, is_origin, 'origins, such as "https://example.com"')) do
    set[origin] = true
  end
  return function(origin)
    return set[origin]
  end
end

-- What stands in the answer to a preflight of an origin that may.
local function allow(headers, plan, req)
  headers["access-control-allow-methods"] = plan.methods
  headers["access-control-max-age"] = plan.max_age
  if plan.headers ~= "*" then
    headers["access-control-allow-headers"] = plan.headers
  elseif not plan.credentials then
    headers["access-control-allow-headers"] = "*, Authorization"
  else -- a star means nothing where credentials are sent
    headers["access-control-allow-headers"] = req.headers["access-control-request-headers"]
    kit.vary(headers, "Access-Control-Request-Headers")
  end
end

local function name_origin(headers, plan, origin, req)
  if not plan.may then
    headers["access-control-allow-origin"] = "*"
    return true
  end
  kit.vary(headers, "Origin")
  if not origin or not plan.may(origin, req) then
    return false
  end
  headers["access-control-allow-origin"] = origin
  headers["access-control-allow-credentials"] = plan.credentials and "true" or nil
  return true
end

local function read(opts)
  opts = arguments.options(what, opts, known)
  local origins = opts.origins == nil and "*" or opts.origins
  if type(origins) == "string" and origins ~= "*" then
    origins = { origins }
  end
  if opts.credentials and origins == "*" then
    misuse(what .. ': credentials are never for every origin; list them in `origins`')
  elseif type(opts.headers) == "string" and opts.headers ~= "*" then
    misuse(what .. ": the option 'headers' is \"*\" or a list of names")
  end
  return {
    may = origins ~= "*" and chooser(origins) or nil, credentials = opts.credentials,
    methods = kit.tokens(what, opts.methods, "methods") or "GET, HEAD, POST, PUT, PATCH, DELETE",
    headers = opts.headers == "*" and "*" or kit.tokens(what, opts.headers, "names of headers"),
    expose = opts.expose and concat(kit.check_list(what, opts.expose, kit.is_token, "names of headers"), ", "),
    max_age = kit.check_whole(what, "max_age", opts.max_age, 0, 2 ^ 31),
  }
end

return function(opts)
  local plan = read(opts)
  return function(req, next)
    local origin = req.headers.origin
    if req.method == "OPTIONS" and origin and req.headers["access-control-request-method"] then
      local headers = {}
      if name_origin(headers, plan, origin, req) then
        allow(headers, plan, req)
      end
      return 204, nil, headers
    end
    local res = next()
    if name_origin(res.headers, plan, origin, req) then
      res.headers["access-control-expose-headers"] = plan.expose
    end
    return res
  end
end
