-- luacheck: std luajit+busted
local write = require("tidegate._pure.disposition").write

describe("disposition", function()
  it("leaves plain names as they are", function()
    assert.equal('attachment; filename="report.pdf"', write("attachment", "report.pdf"))
    assert.equal('inline; filename="a b (1).txt"', write("inline", "a b (1).txt"))
  end)

  it("writes other names twice", function()
    assert.equal("attachment; filename=\"_.pdf\"; filename*=UTF-8''%E2%82%AC.pdf", write("attachment", "€.pdf"))
    assert.equal("attachment; filename=\"a_b_.txt\"; filename*=UTF-8''a%22b%25.txt", write("attachment", 'a"b%.txt'))
  end)

  it("keeps paths and control bytes out of them", function()
    assert.equal('attachment; filename=".._.._etc_passwd"', write("attachment", "../../etc/passwd"))
    assert.equal('attachment; filename="a__b_c_"', write("attachment", "a\r\nb\0c\127"))
    assert.equal('attachment; filename="C:_x"', write("attachment", "C:\\x"))
  end)

  it("has no extended form for what is no UTF-8", function()
    assert.equal('attachment; filename="_.txt"', write("attachment", "\255.txt"))
    assert.equal('attachment; filename="a_"', write("attachment", "a\226\130"))
    assert.equal('attachment; filename="_"', write("attachment", "\192\175"))
  end)
end)
