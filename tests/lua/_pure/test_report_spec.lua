-- luacheck: std luajit+busted
local report = require("tidegate._pure.test_report")

local function result(fields)
  local out = { name = "a b", file = "tests/a_spec.lua", line = 3, status = "passed", seconds = 0.5 }
  for key, value in pairs(fields or {}) do
    out[key] = value
  end
  return out
end

local totals = { passed = 1, failed = 1, pending = 1, seconds = 1 }

describe("the report of tests", function()
  it("is TAP", function()
    assert.equal("ok 1 - a b\n", report.tap(result(), 1))
    local pending = result({ name = "a # b", status = "pending", message = "later" })
    assert.equal("ok 2 - a \\# b # SKIP later\n", report.tap(pending, 2))
    assert.has('not ok 3 - a b\n  ---\n  message: |\n    x\n    y\n  file: "tests/a_spec.lua"\n  line: 3\n  ...\n',
      report.tap(result({ status = "failed", message = "x\ny" }), 3))
  end)

  it("is JUnit's XML", function()
    local xml = report.junit({
      result(), result({ status = "failed", message = '<&">\n', rendered = "<&>" }), result({ status = "pending" }),
      result({ file = "tests/b_spec.lua", status = "error", message = "\255\1" }),
    }, totals)
    assert.has('<testsuite name="tests/a_spec.lua" tests="3" failures="1" errors="0" skipped="1" time="1.500000">', xml)
    assert.has('<failure message="&lt;&amp;&quot;&gt;&#10;">&lt;&amp;&gt;</failure>', xml)
    assert.has('<error message="??">', xml)
  end)

  it("keeps text and drops bytes that are none", function()
    assert.equal("\226\130\172 \240\159\152\128 ok\t\n", report.plain("\226\130\172 \240\159\152\128 ok\t\n"))
    assert.equal("? ?? ??? ?? ???", report.plain("\0 \192\128 \237\160\128 \226\130 \239\191\191"))
  end)

  it("has colours only where they are wanted", function()
    assert.falsy(report.line(result(), false):find("\27"))
    assert.has("\27[32m", report.line(result(), true))
    assert.has("1 passed, 1 failed, 1 pending (1.00 s)", report.summary({}, totals, false))
  end)
end)
