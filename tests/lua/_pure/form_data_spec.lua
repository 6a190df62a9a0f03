-- luacheck: std luajit+busted
local form_data = require "tidegate._pure.form_data"

describe("bodies of forms", function()
  it("are pairs in the order of their names", function()
    assert.equal("a=1&b=x%20y&b=%26&c=", form_data.pairs({ c = "", b = { "x y", "&" }, a = 1 }))
    assert.equal("", form_data.pairs({}))
  end)

  it("are parts with a boundary that is in none of them", function()
    local body, kind = form_data.multipart({ a = "tidegate-form-00000001" },
      { f = { body = "tidegate-form-00000002" } })
    local boundary = kind:match("^multipart/form%-data; boundary=(.*)$")
    assert.equal("tidegate-form-00000003", boundary)
    assert.equal("--" .. boundary .. '\r\nContent-Disposition: form-data; name="a"\r\n\r\ntidegate-form-00000001\r\n--'
      .. boundary .. '\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n'
      .. "Content-Type: application/octet-stream\r\n\r\ntidegate-form-00000002\r\n--" .. boundary .. "--\r\n", body)
  end)

  it("escape names as browsers do", function()
    local body = form_data.multipart(nil, { ['a"\r\nb'] = { filename = '"\n', body = "" } })
    assert.truthy(body:find('name="a%22%0D%0Ab"; filename="%22%0A"', 1, true))
  end)
end)
