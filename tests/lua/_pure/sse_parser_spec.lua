-- luacheck: std luajit+busted
local sse_parser = require "tidegate._pure.sse_parser"

local function read(...)
  local parser, out = sse_parser.new(), {}
  for index = 1, select("#", ...) do
    for _, event in ipairs(parser:feed((select(index, ...)))) do
      out[#out + 1] = event
    end
  end
  return out
end

describe("server-sent events", function()
  it("have a type, data, an id and a time to come back", function()
    assert.same({
      { event = "tick", data = "one\ntwo", id = "7", retry = 500 },
      { event = "message", data = "three", id = "7" },
    }, read("event: tick\nid: 7\nretry: 500\ndata: one\ndata:two\n\n: a comment\ndata: three\n\n"))
  end)

  it("end their lines with LF, CR or both, also where pieces divide them", function()
    local expected = { { event = "message", data = "a\nb", id = "" }, { event = "message", data = "c", id = "" } }
    for _, line_end in ipairs({ "\n", "\r", "\r\n" }) do
      local text = ("data: a\ndata: b\n\ndata: c\n\n"):gsub("\n", line_end)
      assert.same(expected, read(text))
      local bytes = {}
      for byte in text:gmatch(".") do
        bytes[#bytes + 1] = byte
      end
      assert.same(expected, read(unpack(bytes)))
    end
  end)

  it("are none without data or without their end", function()
    assert.same({}, read("event: x\n\nid: 3\n\ndata: cut"))
    assert.same({ { event = "message", data = "", id = "3" } }, read("id: 3\n\nevent: x\n\ndata\n\n"))
  end)

  it("drop what the standard drops", function()
    assert.same({ { event = "message", data = " x", id = "" } },
      read("\239\187\191data:  x\nid: a\0b\nretry: soon\nunknown: y\nevent:\n\n"))
  end)
end)
