-- luacheck: std luajit+busted
local check = require("tidegate._pure.config").check

local LONG, OTHER = ("x"):rep(32), ("y"):rep(40)

local function try(secrets, environment)
  local config, problems = check({ secrets = secrets }, {}, function(name)
    return (environment or {})[name]
  end)
  return config.secrets, problems[1] and problems[1].message
end

describe("secrets in tidegate.lua", function()
  it("are a list, or come from the environment", function()
    assert.same({ LONG, OTHER }, (try({ LONG, OTHER })))
    assert.same({ LONG, OTHER }, (try({ env = "A" }, { A = LONG .. ", " .. OTHER .. "\n" })))
  end)

  it("are refused without being shown", function()
    local cases = {
      { { "short" }, "secrets: number 1 must be a text of at least 32 bytes, not 5 bytes" },
      { { LONG, 7 }, "secrets: number 2 must be a text of at least 32 bytes, not a number" },
      { {}, "secrets must have 1 to 16 texts, not 0" },
      { LONG, 'secrets must be a list of texts, the newest first, or { env = "NAME" }' },
      { { LONG, env = "A" }, 'secrets must be a list of texts, the newest first, or { env = "NAME" }' },
      { { env = 1 }, 'secrets must be a list of texts, the newest first, or { env = "NAME" }' },
      { { env = "B" }, "secrets: there is no environment variable B" },
      { { env = "A" },
        "secrets of the environment variable A: number 1 must be a text of at least 32 bytes, not 1 bytes" },
    }
    for _, case in ipairs(cases) do
      local list, message = try(case[1], { A = "z" })
      assert.equal(nil, list)
      assert.equal(case[2], message)
    end
  end)
end)
