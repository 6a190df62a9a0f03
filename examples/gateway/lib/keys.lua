-- Who may come in, and as whom. A real gateway would ask a database, or check a signature.
local M = {}

local owners = { ["key-of-ada"] = "ada", ["key-of-bob"] = "bob" }

--- The owner of the key in an Authorization field; nil where there is none.
function M.owner(field)
  return field and owners[field:match("^Bearer (%S+)$")]
end

return M
