-- Takes what nobody outside should see out of a value that was JSON, at any depth.
local M = {}

local secret = { password = true, ssn = true, token = true }

function M.value(value)
  if type(value) ~= "table" then
    return value
  end
  for key, item in pairs(value) do
    if secret[key] then
      value[key] = nil
    else
      M.value(item)
    end
  end
  return value
end

return M
