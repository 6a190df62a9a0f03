-- Uploads of any size, written to disk as they come.
--
-- `stream_body` gives a blocking route its body piece by piece instead of collected; `req:chunks()` holds one piece at
-- a time, and a client that sends faster than the disk writes is made to wait. io.open blocks, so the route is a
-- blocking one.
local tg = require "tidegate"

local FOLDER = "/tmp/tidegate-upload"
local GIB = 1024 * 1024 * 1024

local function check_name(name)
  if not name:find("^[%w_][%w_.-]*$") then
    tg.abort(400, "a file name has letters, digits, '.', '_' and '-' only")
  end
  return name
end

return {
  ["PUT /{name}"] = {
    blocking = true,
    stream_body = true,
    max_body = 8 * GIB,
    timeout = 3600,
    run = function(req)
      local name = check_name(req.params.name)
      os.execute("mkdir -p " .. FOLDER)
      -- A name of its own until the file is whole: nobody ever sees half of it.
      local path = FOLDER .. "/" .. name
      local part = path .. "." .. req.id .. ".part"
      local file = assert(io.open(part, "wb"))
      local size = 0
      local ok, err = pcall(function()
        for chunk in req:chunks() do
          size = size + #chunk
          assert(file:write(chunk))
        end
      end)
      file:close()
      if not ok then
        os.remove(part)
        error(err, 0)
      end
      assert(os.rename(part, path))
      return 201, { name = name, bytes = size }, { location = "/files/" .. name }
    end,
  },

  ["GET /{name}"] = function(req)
    return tg.file(FOLDER .. "/" .. check_name(req.params.name))
  end,
}
