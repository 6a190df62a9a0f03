-- pcall, xpcall and coroutine.* as application code sees them. Called once a state by the sandbox.
--
-- A suspension yields a private mark. When a coroutine that the application made yields it, `resume` hands the mark
-- outward until it reaches the scheduler, and hands what comes back inward; the application's own yields stay its own.
-- A coroutine is resumed only by the one that it belongs to at the moment: never a task's own, never one whose call is
-- pending. Cancellation goes through pcall, xpcall and resume: they let cleanup run, then raise it again.

local error, type, setmetatable = error, type, setmetatable
local raw_pcall, raw_xpcall = pcall, xpcall
local create, resume, yield = coroutine.create, coroutine.resume, coroutine.yield
local running, status, isyieldable = coroutine.running, coroutine.status, coroutine.isyieldable

local DEPTH_MAX = 200 -- each level takes room on the C stack

--- @param core table
--- @return table functions { pcall, xpcall, coroutine, root }
return function(core)
  local mark, nest, entered = core.mark, core.nest, core.scope_mark
  local is_cancelled, cancelled = core.is_cancelled, core.cancelled

  -- A step over its CPU budget ends whatever is around it: the hook would only strike again.
  local function over_budget(err)
    return core.is_error(err) and rawget(err, "code") == "cpu_budget"
  end

  local function must_go_on(err)
    return type(err) == "table" and (is_cancelled(err) and cancelled() or over_budget(err))
  end

  local function failed(err, ...)
    if must_go_on(err) then
      error(err, 0)
    end
    return false, err, ...
  end

  local function after_pcall(ok, ...)
    if ok then
      return true, ...
    end
    return failed(...)
  end

  local function protected_call(f, ...)
    return after_pcall(raw_pcall(f, ...))
  end

  -- The handler's result takes the error's place, so that the error is kept on its way to the handler.
  local function protected_call_with(f, handler, ...)
    if type(handler) ~= "function" then
      error("bad argument #2 to 'xpcall' (function expected, got " .. type(handler) .. ")", 2)
    end
    local cancellation
    local function watch(err)
      if must_go_on(err) then
        cancellation = err
        -- The hook that raised this one is still on the stack, and no hook runs inside a hook: a handler
        -- that loops could not be stopped.
        if over_budget(err) then
          return err
        end
      end
      -- What a handler raises would become a bare "error in error handling", without its line.
      local ok, value = raw_pcall(handler, err)
      if not ok and must_go_on(value) then
        cancellation = value
      end
      return value
    end
    local function after(ok, ...)
      if not ok and cancellation then
        error(cancellation, 0)
      end
      return ok, ...
    end
    return after(raw_xpcall(f, watch, ...))
  end

  -- Coroutine made by the application -> false, or while it is inside a resume: the one that resumed it (true: main).
  local resumer = setmetatable({}, { __mode = "k" })

  -- A C function lies between us and the scheduler: the call that was begun is given up, and the coroutines inside,
  -- which wait for it, with it. What they counted as depth is taken back, and the scopes that they entered are
  -- left.
  local function give_up(scope)
    local levels, outer = 0, running()
    while outer and outer ~= true and resumer[outer] do
      levels, outer = levels + 1, resumer[outer]
    end
    core.abandon()
    nest(levels - nest(0))
    core.scope_unwind(scope)
    core.error_throw("c_boundary", "cannot suspend inside a coroutine that the callback of a C function resumed")
  end

  -- Scopes are left by the code that has entered them: whoever resumes a coroutine must not stay inside of one of its.
  local function after_resume(co, scope, ok, first, ...)
    if ok and first == mark then
      if not isyieldable() then
        give_up(scope)
      end
      return after_resume(co, scope, resume(co, yield(first, ...)))
    end
    resumer[co] = false
    nest(-1)
    if entered() ~= scope and core.scope_unwind(scope) and ok then
      resumer[co] = nil -- and nobody can go on with it
      local text = "a coroutine yielded inside of tg.timeout, tg.scope or the like, which it must leave first"
      core.error_throw("yield_in_scope", text)
    end
    if not ok and must_go_on(first) then
      error(first, 0)
    end
    return ok, first, ...
  end

  local function refuse(co)
    if type(co) ~= "thread" then
      error("bad argument #1 to 'resume' (coroutine expected, got " .. type(co) .. ")", 3)
    end
    if resumer[co] == nil then
      return false, "cannot resume a task: only coroutines from coroutine.create and coroutine.wrap"
    elseif co == running() then
      return false, "cannot resume running coroutine"
    end
    return false, "cannot resume non-suspended coroutine"
  end

  local function resume_user(co, ...)
    if type(co) ~= "thread" or resumer[co] ~= false then
      return refuse(co)
    end
    if nest(1) > DEPTH_MAX then
      nest(-1)
      core.error_throw("coroutine_depth", "coroutines are nested deeper than " .. DEPTH_MAX)
    end
    resumer[co] = running() or true
    return after_resume(co, entered(), resume(co, ...))
  end

  local function create_user(f)
    if type(f) ~= "function" then
      error("bad argument #1 to 'create' (function expected, got " .. type(f) .. ")", 2)
    end
    local co = create(f)
    resumer[co] = false
    return co
  end

  local function after_wrap(ok, ...)
    if not ok then
      error((...), 0)
    end
    return ...
  end

  local function wrap_user(f)
    if type(f) ~= "function" then
      error("bad argument #1 to 'wrap' (function expected, got " .. type(f) .. ")", 2)
    end
    local co = create_user(f)
    return function(...)
      return after_wrap(resume_user(co, ...))
    end
  end

  local function status_user(co)
    local word = status(co)
    if word == "suspended" and resumer[co] then
      return "normal"
    end
    return word
  end

  -- The outermost coroutine of the chain of resumes that runs now: the task's own, or true outside of any.
  local function root()
    local co = running() or true
    while co ~= true and resumer[co] do
      co = resumer[co]
    end
    return co
  end

  return {
    pcall = protected_call,
    xpcall = protected_call_with,
    root = root,
    coroutine = {
      create = create_user,
      resume = resume_user,
      wrap = wrap_user,
      yield = yield,
      running = running,
      status = status_user,
      isyieldable = isyieldable,
    },
  }
end
