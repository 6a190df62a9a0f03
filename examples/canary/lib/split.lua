-- Which version answers: who asks for one by a header gets it; of the others a share gets the new one, and each client
-- always the same.
local M = { percent = 5, mirrored = 0.1 }

local function hash(text)
  local h = 5381
  for i = 1, #text do
    h = (h * 33 + text:byte(i)) % 4294967296
  end
  return h
end

--- @param header string|nil what the client asks for
--- @param client string what stays the same of a client
--- @return string upstream
function M.choose(header, client)
  if header == "canary" or header == "stable" then
    return header
  end
  return hash(client) % 100 < M.percent and "canary" or "stable"
end

--- Reads can be asked twice: a share of them goes to the next version, too.
--- @param method string
--- @return table|false mirror
function M.mirror(method)
  return (method == "GET" or method == "HEAD") and { to = "next", share = M.mirrored }
end

return M
