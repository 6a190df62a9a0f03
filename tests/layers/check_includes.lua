-- Checks every #include of core/**/*.[ch] against layers.txt: that our own headers are written from core/ and follow
-- the arrows, and that third-party headers stay in their homes. Every other <header> has to be libc's or Linux's.
-- Run from the top of the tree; exits 1 with one line a violation.

local allowed, homes = {}, {}

-- Headers in angle brackets that every folder may use.
local libc = {}
for name in ([[
  arpa/inet.h assert.h ctype.h dirent.h dlfcn.h endian.h errno.h fcntl.h float.h fnmatch.h ftw.h getopt.h glob.h
  grp.h inttypes.h limits.h linux/capability.h linux/filter.h linux/magic.h linux/openat2.h sys/vfs.h
  locale.h malloc.h math.h net/if.h netdb.h netinet/in.h netinet/tcp.h
  poll.h pthread.h pwd.h sched.h semaphore.h setjmp.h signal.h spawn.h stdalign.h stdarg.h stdatomic.h stdbool.h
  stddef.h stdint.h stdio.h stdlib.h stdnoreturn.h string.h strings.h sys/epoll.h sys/eventfd.h sys/file.h
  sys/inotify.h sys/ioctl.h sys/mman.h sys/param.h sys/pidfd.h sys/prctl.h sys/random.h sys/resource.h sys/sendfile.h
  sys/signalfd.h sys/socket.h sys/stat.h sys/syscall.h sys/time.h sys/timerfd.h sys/types.h sys/uio.h sys/un.h
  sys/utsname.h sys/wait.h syslog.h termios.h threads.h time.h ucontext.h unistd.h wchar.h emmintrin.h immintrin.h
  nmmintrin.h x86intrin.h arm_neon.h sanitizer/asan_interface.h sanitizer/lsan_interface.h sanitizer/tsan_interface.h
  sanitizer/common_interface_defs.h
]]):gmatch("%S+") do
  libc[name] = true
end

local function words(text)
  local set = {}
  for word in text:gmatch("%S+") do
    set[word] = true
  end
  return set
end

for line in io.lines("tests/layers/layers.txt") do
  local third, third_homes = line:match("^third (%S+): (.+)$")
  local folder, targets = line:match("^(%l+):%s*(.*)$")
  if third then
    homes[#homes + 1] = { header = third, folders = words(third_homes) }
  elseif folder then
    allowed[folder] = words(targets)
    allowed[folder][folder] = true
  elseif line ~= "" and not line:match("^#") then
    error("layers.txt: cannot read: " .. line)
  end
end

local violations, seen = 0, 0

local function report(path, number, format, ...)
  violations = violations + 1
  io.stderr:write(("%s:%d: "):format(path, number), format:format(...), "\n")
end

local function is_generated(header)
  return header == "base/version.h"
end

local function exists(path)
  local file = io.open(path)
  return file ~= nil and file:close()
end

local function check_own(path, number, folder, header)
  local target = header:match("^(%l+)/")
  if not target or not (exists("core/" .. header) or is_generated(header)) then
    report(path, number, '"%s" is not a path from core/', header)
  elseif not allowed[folder][target] then
    report(path, number, "%s may not include %s (%s)", folder, target, header)
  end
end

local function check_system(path, number, folder, header)
  for _, home in ipairs(homes) do
    local is_prefix = home.header:sub(-1) == "/"
    if header == home.header or (is_prefix and header:sub(1, #home.header) == home.header) then
      if not home.folders[folder] then
        report(path, number, "<%s> has its home elsewhere, not in %s", header, folder)
      end
      return
    end
  end
  if not libc[header] then
    report(path, number, "<%s> is neither libc's nor named in layers.txt or check_includes.lua", header)
  end
end

local files = assert(io.popen("find core -name '*.[ch]' | LC_ALL=C sort"))
for path in files:lines() do
  seen = seen + 1
  local folder = path:match("^core/(%l+)/") or "main"
  if not allowed[folder] then
    report(path, 1, "folder %s is not in layers.txt", folder)
  else
    local number = 0
    for line in io.lines(path) do
      number = number + 1
      local own = line:match('^%s*#%s*include%s+"(.-)"')
      local system = line:match("^%s*#%s*include%s+<(.-)>")
      if own then
        check_own(path, number, folder, own)
      elseif system then
        check_system(path, number, folder, system)
      end
    end
  end
end
files:close()

if seen == 0 then
  io.stderr:write("check_includes.lua: no files; run it from the top of the tree\n")
  os.exit(1)
end
print(("%d files, %d violations"):format(seen, violations))
os.exit(violations == 0 and 0 or 1)
