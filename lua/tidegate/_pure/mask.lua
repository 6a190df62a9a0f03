-- Hides secrets in source text that is shown.

local M = {}

-- As long as before, so that places stay right.
local function hide(code)
  if code:find("^{%s*env%s*=%s*([\"'])[%w_]+%1%s*,?%s*}$") then
    return code -- the name of a variable is none
  end
  return (code:gsub("[^%s{},\"'=]", "*"))
end

--- Source text with stars in place of what is given to `secrets`.
--- @param source string
--- @return string
function M.secrets(source)
  local from, to = source:find("%f[%w_]secrets%s*=%s*")
  if not from then
    return source
  end
  local rest = source:sub(to + 1)
  -- a table; one that is never closed; something else
  local value = rest:match("^%b{}") or rest:match("^{.*") or rest:match("^[^\n]*")
  return source:sub(1, to) .. hide(value) .. M.secrets(rest:sub(#value + 1))
end

return M
