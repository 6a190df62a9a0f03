-- Makes one Lua state ready for an application: `boot(core)`, called once a state by script/sandbox.c.
--
-- `core` is the C side: what a Lua file of the library needs of it, it takes by `require "tidegate._core.core"`. What
-- only the loading of an application needs is read when load_app is called, so that a bare state is cheap.

--- @param core table functions and values of C
--- @return table boot { tg, env, freeze, thaw, load_app, openapi, render, prepare, finish, grants }
return function(core)
  package.loaded["tidegate._core.core"] = core
  core.raw_pcall, core.raw_xpcall = pcall, xpcall

  local tg = require("tidegate._core.tg")(core)
  package.loaded["tidegate"] = tg

  local grants = { ffi = false, debug = false, os_execute = false, c_modules = {} }
  local sandbox = require("tidegate._core.sandbox")(core, grants, tg)
  local loader = require("tidegate._core.require")(core, grants, sandbox, tg)
  sandbox.seal()
  core.env = sandbox.env

  local app, site
  local function load_app(files, opts)
    app = app or require("tidegate._core.app")(core, grants, sandbox, loader)
    local loaded, errors = app(files, opts or {})
    site = loaded.site
    return loaded, errors
  end

  -- For `tidegate openapi`.
  local function openapi(...)
    return require("tidegate._core.openapi_command").run(site, ...)
  end

  -- The errors of load_app in the caret form, a blank line between two of them.
  local function render(errors, files)
    local caret, sources, out = require("tidegate._pure.caret"), {}, {}
    for _, file in ipairs(files) do
      sources[file.path] = file.source
    end
    for index, err in ipairs(errors) do
      out[index] = caret.render(err, err.file and sources[err.file])
    end
    return table.concat(out, "\n")
  end

  local entry = core.has_module("tidegate._core.entry") and require("tidegate._core.entry") or {}
  return {
    tg = tg,
    env = sandbox.env,
    grants = grants,
    freeze = sandbox.freeze,
    thaw = sandbox.thaw,
    load_app = load_app,
    render = render,
    openapi = openapi,
    prepare = entry.prepare,
    finish = entry.finish,
  }
end
