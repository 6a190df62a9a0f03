local tg = require "tidegate"
local split = tg.test.live and {} or require "split"

describe("the split", function()
  it("goes by the header", function()
    assert.equal("canary", split.choose("canary", "a"))
    assert.equal("stable", split.choose("stable", "a"))
  end, { requires = "in_process" })

  it("gives a share to the canary, and a client always the same", function()
    local count = 0
    for n = 1, 10000 do
      local client = "client-" .. n
      local upstream = split.choose(nil, client)
      assert.equal(upstream, split.choose(nil, client))
      assert.equal(upstream, split.choose("nonsense", client))
      count = count + (upstream == "canary" and 1 or 0)
    end
    assert.equal(true, count > 300 and count < 700)
  end, { requires = "in_process" })
end)

describe("the mirror", function()
  it("gets reads only", function()
    assert.equal("next", split.mirror("GET").to)
    assert.equal(false, split.mirror("POST"))
  end, { requires = "in_process" })
end)

describe("the gateway", function()
  it("says that no version is there", function()
    assert.status(502, tg.test.client():get("/x", { headers = { ["x-version"] = "canary" } }))
  end)

  it("answers whatever becomes of a copy", function()
    split.mirrored = 1
    for _ = 1, 3 do
      assert.status(502, tg.test.client():get("/x", { headers = { ["x-version"] = "stable" } }))
    end
  end, { requires = "in_process" })
end)
