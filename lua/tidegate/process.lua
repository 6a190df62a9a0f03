-- tg.process: other programs. Arguments are a list, and there is no shell unless one asks for it.
--
-- A program leads a process group of its own, and the group ends with the request, job or script that started it: by
-- SIGTERM, and SIGKILL after a grace. C does that (core/loop/program.h, core/await/process*.c); here are arguments,
-- results and errors.

local core = require "tidegate._core.core"
local ops = require("tidegate")._ops
require "tidegate._core.duplex"

local error, ipairs, pairs, setmetatable, tostring, type = error, ipairs, pairs, setmetatable, tostring, type
local throw = core.error_throw
local plain = ops.process_class()
local raw_run, raw_spawn, raw_wait = ops.process_run, ops.process_spawn, ops.process_wait

local M = {}

local GRACE = 1 -- seconds between SIGTERM and SIGKILL
local OUTPUT_MAX = 1048576
local INPUT_MAX = 2 ^ 30
local SECONDS_MAX = 1e6

-- enum tg_program_io of core/loop/program.h
local io_kinds = { null = 0, pipe = 1, inherit = 2, stdout = 3 }

-- ---- arguments ----

-- At the caller's line, however deep it is found.
local function misuse(name, text)
  error(core.caller(1) .. ": " .. name .. ": " .. text, 0)
end

local function check_options(name, opts, known)
  if opts == nil then
    return {}
  elseif type(opts) ~= "table" then
    misuse(name, "options are a table, not a " .. type(opts))
  end
  for key, value in pairs(opts) do
    local kind = known[key]
    if not kind then
      local names = {}
      for other in pairs(known) do
        names[#names + 1] = other
      end
      misuse(name, "no option " .. tostring(key)
        .. require("tidegate._pure.suggest").phrase(tostring(key), names, ""))
    elseif type(value) ~= kind then
      misuse(name, ("%s: a %s expected, got %s"):format(key, kind, type(value)))
    end
  end
  return opts
end

local function check_number(name, opts, key, least, most)
  local value = opts[key]
  if value and not (value >= least and value <= most) then
    misuse(name, ("%s: a number from %g to %g expected, got %g"):format(key, least, most, value))
  end
end

local function word(name, what, value)
  local kind = type(value)
  if kind ~= "string" and kind ~= "number" then
    misuse(name, ("%s: a string expected, got %s"):format(what, kind))
  end
  value = tostring(value)
  if value:find("%z") then
    misuse(name, what .. ": a NUL byte cannot be passed to a program")
  end
  return value
end

local function read_argv(name, argv, shell)
  if shell then
    if type(argv) ~= "string" then
      misuse(name, "with shell = true a string expected, got " .. type(argv))
    end
    return { "/bin/sh", "-c", word(name, "the command", argv) }
  elseif type(argv) == "string" then
    local words = {}
    for part in argv:gmatch("%S+") do
      words[#words + 1] = ("%q"):format(part)
    end
    misuse(name, "a list of arguments expected, got a string; write { " .. table.concat(words, ", ")
      .. " }, or pass { shell = true } to have /bin/sh read it")
  elseif type(argv) ~= "table" then
    misuse(name, "a list of arguments expected, got " .. type(argv))
  elseif #argv == 0 then
    misuse(name, "the list of arguments is empty; its first is the program")
  end
  local out = {}
  for i = 1, #argv do
    out[i] = word(name, "argument " .. i, argv[i])
  end
  return out
end

-- { NAME = "value" | false } -> names and values in turns
local function read_env(name, env)
  local out = {}
  for key, value in pairs(env or {}) do
    if type(key) ~= "string" or key == "" or key:find("[=%z]") then
      misuse(name, "env: '" .. tostring(key) .. "' cannot be the name of a variable")
    end
    out[#out + 1] = key
    out[#out + 1] = value ~= false and word(name, "env." .. key, value)
  end
  return out
end

local function read_io(name, key, value, kinds)
  if not kinds:find(" " .. value .. " ", 1, true) then
    misuse(name, ("%s: '%s' is none of%s"):format(key, value, kinds))
  end
  return io_kinds[value]
end

local common = {
  shell = "boolean", cwd = "string", env = "table", clear_env = "boolean", grace = "number",
  stdin = "string", stdout = "string", stderr = "string",
}

local function known_options(more)
  for key, kind in pairs(common) do
    more[key] = kind
  end
  return more
end

local run_options = known_options({ max_output = "number", timeout = "number", check = "boolean" })
local spawn_options = known_options({})

local function read_spec(name, argv, opts)
  check_number(name, opts, "grace", 0, SECONDS_MAX)
  return {
    argv = read_argv(name, argv, opts.shell),
    env = read_env(name, opts.env),
    clear_env = opts.clear_env,
    cwd = opts.cwd and word(name, "cwd", opts.cwd),
    grace = opts.grace or GRACE,
  }
end

-- ---- results ----

--- How a program has ended.
--- @class tidegate.ProcessResult
--- @field ok boolean its status was 0
--- @field status integer|nil nil where a signal ended it
--- @field signal string|nil "SIGKILL"
--- @field stdout string of tg.process.run
--- @field stderr string of tg.process.run

local function how_it_ended(result)
  if result.signal then
    return "was ended by " .. result.signal
  elseif result.status then
    return "ended with status " .. result.status
  end
  return "has ended, nobody knows how"
end

-- The last line that says something: programs say there what went wrong.
local function last_words(text)
  local line = text:sub(-2048):match("([^\n]*%S)%s*$")
  return line and ": " .. line:sub(1, 200):gsub("%c", "?") or ""
end

local function fail(code, message, result)
  return throw(code, message, { result = result })
end

local function finish(argv, opts, status, signal, stdout, stderr, verdict)
  local result = { ok = status == 0, status = status, signal = signal, stdout = stdout, stderr = stderr }
  if verdict == "timeout" then
    local text = ("tg.process.run: %s took longer than %g s, and was ended"):format(argv[1], opts.timeout)
    return fail("timeout", text, result)
  elseif verdict == "too_large" then
    local text = "tg.process.run: %s wrote more than max_output = %d bytes, and was ended"
    return fail("too_large", text:format(argv[1], opts.max_output or OUTPUT_MAX), result)
  elseif opts.check and not result.ok then
    local text = ("tg.process.run: %s %s%s"):format(argv[1], how_it_ended(result), last_words(stderr))
    return fail("exit_status", text, result)
  end
  return result
end

--- Runs a program and returns how it ended, with its output. ⏸
--- Errors: `not_found`, `permission`, `timeout`, `too_large`, `exit_status`; the last three with `err.result`.
--- @param argv string[] program and arguments; with `shell` a string
--- @param opts? { stdin: string, cwd: string, env: table<string, string|number|false>, clear_env: boolean,
---   shell: boolean, timeout: number, max_output: integer, check: boolean, grace: number, stdout: string,
---   stderr: string }
--- @return tidegate.ProcessResult
function M.run(argv, opts)
  local name = "tg.process.run"
  opts = check_options(name, opts, run_options)
  check_number(name, opts, "timeout", 0.001, SECONDS_MAX)
  check_number(name, opts, "max_output", 0, INPUT_MAX)
  local spec = read_spec(name, argv, opts)
  if opts.stdin and #opts.stdin > INPUT_MAX then
    misuse(name, "stdin: more than 1 GiB; use tg.process.spawn and write to its stdin")
  end
  spec.io = {
    opts.stdin and io_kinds.pipe or io_kinds.null,
    read_io(name, "stdout", opts.stdout or "pipe", " pipe null inherit "),
    read_io(name, "stderr", opts.stderr or "pipe", " pipe null inherit stdout "),
  }
  spec.input = opts.stdin
  spec.timeout = opts.timeout
  spec.output_max = opts.max_output or OUTPUT_MAX
  return finish(spec.argv, opts, raw_run(spec))
end

--- A program that runs.
--- @class tidegate.Process
--- @field pid integer also the number of its process group
--- @field stdin tidegate.Stream|nil
--- @field stdout tidegate.Stream|nil
--- @field stderr tidegate.Stream|nil
local Process = {}
Process.__index = Process
Process.__metatable = "locked"

Process.__tostring = function(process)
  return "process " .. process.pid
end

--- Waits for its end. ⏸
--- @return tidegate.ProcessResult
function Process:wait()
  local status, signal = raw_wait(self._handle)
  return { ok = status == 0, status = status, signal = signal }
end

--- Sends a signal to the program and all that it has started.
--- @param signal? string "SIGTERM" where none is given
--- @return boolean sent false where it has ended already
function Process:kill(signal)
  if signal ~= nil and type(signal) ~= "string" then
    misuse("process:kill", "the name of a signal expected, got " .. type(signal))
  end
  local sent = plain.kill(self._handle, signal or "SIGTERM")
  if sent == nil then
    misuse("process:kill", "no signal " .. signal .. '; names are as in "SIGTERM"')
  end
  return sent
end

--- Ends it: SIGTERM, SIGKILL after the grace, and waits for the end. ⏸
--- @param grace? number seconds
--- @return tidegate.ProcessResult
function Process:stop(grace)
  if grace ~= nil and not (type(grace) == "number" and grace >= 0 and grace <= SECONDS_MAX) then
    misuse("process:stop", "grace: seconds expected")
  end
  plain.stop(self._handle, grace)
  return self:wait()
end

--- Takes it and its streams out of the request that started it: it lives until it ends, or the application's
--- generation does.
--- @return tidegate.Process
function Process:detach()
  if not plain.detach(self._handle) then
    throw("not_available", "process:detach: hooks such as on_start keep no process; start it in tg.background")
  end
  for _, key in ipairs({ "stdin", "stdout", "stderr" }) do
    if self[key] and not self[key].closed then
      self[key]:detach()
    end
  end
  return self
end

--- Starts a program, and returns when it runs. ⏸
--- stdin, stdout and stderr are streams, or what the options say: "pipe", "null", "inherit", and "stdout" for stderr.
--- Errors: `not_found`, `permission`.
--- @param argv string[] program and arguments; with `shell` a string
--- @param opts? { cwd: string, env: table<string, string|number|false>, clear_env: boolean, shell: boolean,
---   grace: number, stdin: string, stdout: string, stderr: string }
--- @return tidegate.Process
function M.spawn(argv, opts)
  local name = "tg.process.spawn"
  opts = check_options(name, opts, spawn_options)
  local spec = read_spec(name, argv, opts)
  spec.io = {
    read_io(name, "stdin", opts.stdin or "pipe", " pipe null inherit "),
    read_io(name, "stdout", opts.stdout or "pipe", " pipe null inherit "),
    read_io(name, "stderr", opts.stderr or "pipe", " pipe null inherit stdout "),
  }
  local handle, stdin, stdout, stderr = raw_spawn(spec)
  local process = { pid = plain.pid(handle), stdin = stdin, stdout = stdout, stderr = stderr, _handle = handle }
  return setmetatable(process, Process)
end

return M
