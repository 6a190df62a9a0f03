-- A system call that blocks its thread, as a driver written in C would.
local ffi = require "ffi"
ffi.cdef "int poll(void *fds, unsigned long count, int ms);"

return {
  ["GET /quick"] = function() return { ok = true } end,
  ["GET /io"] = { blocking = true, run = function() ffi.C.poll(nil, 0, 100) return { ok = true } end },
  ["GET /child"] = { blocking = true, run = function() os.execute("sleep 0.1") return { ok = true } end },
  ["GET /cpu"] = {
    blocking = true,
    run = function()
      -- os.clock counts every thread of the process, so the amount of work is fixed instead: about 50 ms of one core.
      local x = 0
      for i = 1, 10000000 do x = (x * 31 + i) % 1000003 end
      return { x = x }
    end,
  },
}
