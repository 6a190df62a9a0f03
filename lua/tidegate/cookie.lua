-- tg.cookie: the text of a Set-Cookie field. What the browser sends back is in req.cookies.

local arguments = require "tidegate._core.arguments"
local core = require "tidegate._core.core"
local write = core.open("cookie").write

local misuse = arguments.misuse

--- Called, `tg.cookie(name, value, opts)` gives the value of a Set-Cookie field: put it into the headers of an answer.
--- Raises `bad_cookie` where a browser would not keep the cookie, and `no_secrets` for `signed` and `sealed` without
--- `secrets` in tidegate.lua.
--- @class tidegate.cookie
--- @overload fun(name: string, value: string|number, opts?: tidegate.CookieOptions): string
local M = {}

--- @class tidegate.CookieOptions
--- @field path? string "/"
--- @field domain? string the host alone where it is not given
--- @field max_age? integer seconds; 0 or less deletes it. Without it and `expires`, it ends with the browser
--- @field expires? integer seconds since 1970
--- @field secure? boolean sent by HTTPS only (false)
--- @field http_only? boolean hidden from scripts of the page (true)
--- @field same_site? "Lax"|"Strict"|"None" Lax
--- @field partitioned? boolean one jar for each site that embeds this one (false)
--- @field signed? boolean can be read by its owner, and changed by nobody
--- @field sealed? boolean can be read and changed by nobody

local known = {
  path = "string", domain = "string", max_age = "number", expires = "number", secure = "boolean", http_only = "boolean",
  same_site = "string", partitioned = "boolean", signed = "boolean", sealed = "boolean",
}
local same_sites = { lax = "Lax", strict = "Strict", none = "None" }

local function text_of(what, name, value, opts)
  local same_site = same_sites[(opts.same_site or "Lax"):lower()]
  if type(name) ~= "string" then
    misuse(what .. ": a name expected, got " .. type(name))
  elseif not same_site then
    misuse(what .. ': same_site is "Lax", "Strict" or "None", got ' .. opts.same_site)
  end
  local text, why = write(name, value, opts.path or "/", opts.domain, opts.max_age, opts.expires, opts.secure,
    opts.http_only ~= false, opts.partitioned, same_site)
  return text or core.error_throw("bad_cookie", ("%s: %s: %s"):format(what, name:gsub("%c", "?"), why))
end

--- The value of a Set-Cookie field that deletes a cookie. Give the path, domain and the like that it was made with.
--- @param name string
--- @param opts? tidegate.CookieOptions
--- @return string
function M.delete(name, opts)
  local all = { max_age = 0, expires = 0 }
  for key, value in pairs(arguments.options("tg.cookie.delete", opts, known)) do
    if key == "max_age" or key == "expires" or key == "signed" or key == "sealed" then
      misuse("tg.cookie.delete: the option '" .. key .. "' has no meaning")
    end
    all[key] = value
  end
  return text_of("tg.cookie.delete", name, "", all)
end

local function cookie(_, name, value, opts)
  opts = arguments.options("tg.cookie", opts, known)
  value = arguments.data("tg.cookie", value)
  if opts.signed and opts.sealed then
    misuse("tg.cookie: a cookie is signed or sealed, not both")
  elseif type(name) == "string" and opts.signed then
    value = require("tidegate._core.cookies").signed(name, value)
  elseif type(name) == "string" and opts.sealed then
    value = require("tidegate._core.cookies").sealed(name, value)
  end
  return text_of("tg.cookie", name, value, opts)
end

return setmetatable(M, { __call = cookie })
