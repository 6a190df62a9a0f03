-- A stand-in for core/bind/key_scan.c, for specs that run in plain LuaJIT. It is also what that one is compared with.

local M = {}

local lua_text = require("tidegate._pure.lua_text")

local find, byte, sub = string.find, string.byte, string.sub
local after_long, after_string = lua_text.after_long, lua_text.after_string

local OPENS = { ["function"] = true, ["if"] = true, ["do"] = true, ["repeat"] = true }
local CLOSES = { ["end"] = true, ["until"] = true }

local QUOTE, APOSTROPHE, MINUS, BRACKET, BRACE = 34, 39, 45, 91, 123
local COMMA, SEMICOLON, EQUALS = 44, 59, 61

local function skip_space(source, pos)
  while true do
    pos = find(source, "%S", pos)
    if not pos then
      return #source + 1
    elseif sub(source, pos, pos + 1) ~= "--" then
      return pos
    end
    pos = after_long(source, pos + 2) or find(source, "\n", pos, true) or #source + 1
  end
end

-- `[ "key" ] =` at `at`: the key, the offset after the `=`, that of the `]`; nil where it is something else.
local function bracketed_key(source, at)
  local start = skip_space(source, at + 1)
  local first = byte(source, start)
  local stop
  if first == QUOTE or first == APOSTROPHE then
    stop = after_string(source, start)
  elseif first == BRACKET then
    stop = after_long(source, start)
  end
  if not stop then
    return nil
  end
  local close = skip_space(source, stop)
  local equals = skip_space(source, close + 1)
  if sub(source, close, close) ~= "]" or byte(source, equals) ~= EQUALS or byte(source, equals + 1) == EQUALS then
    return nil
  end
  local key
  local text = sub(source, start + 1, stop - 2)
  if first ~= BRACKET and not find(text, "\\", 1, true) then
    key = text
  else
    local literal = loadstring("return " .. sub(source, start, stop - 1))
    key = literal and literal()
  end
  return key, equals + 1, close
end

--- @class tidegate.KeyNode one table constructor
--- @field keys table<string, tidegate.KeyPlace> the last of each name
--- @class tidegate.KeyPlace
--- @field offset integer
--- @field stop integer its last byte
--- @field node tidegate.KeyNode? where the value is a constructor itself

--- @class tidegate.KeyScan
--- @field root tidegate.KeyNode? the table that the file returns, if it is written there
--- @field nodes tidegate.KeyNode[]
--- @field doubles { name: string, first: integer, offset: integer, stop: integer }[]

--- @param source string a text that compiles
--- @return tidegate.KeyScan
function M.scan(source)
  local result = { root = nil, nodes = {}, doubles = {} }
  local stack, top = {}, 0 -- a node for `{`, true for other brackets, false for blocks
  local node -- the constructor that we are directly in
  local want_key, pending, returned = false, nil, false
  local pos = 1

  local function add_key(name, from, stop)
    local place = { offset = from, stop = stop }
    local old = node.keys[name]
    if old then
      result.doubles[#result.doubles + 1] = { name = name, first = old.offset, offset = from, stop = stop }
    end
    node.keys[name] = place
    return place
  end

  local function push(entry)
    top = top + 1
    stack[top] = entry
    node = entry or nil
    if entry == true then
      node = nil
    end
  end

  local function pop()
    if top > 0 then
      stack[top] = nil
      top = top - 1
    end
    local entry = stack[top]
    node = type(entry) == "table" and entry or nil
  end

  while true do
    pos = find(source, "[%a_\"'%-%[%]{}(),;]", pos)
    if not pos then
      break
    end
    local c = byte(source, pos)
    if c == MINUS then
      if byte(source, pos + 1) == MINUS then
        pos = after_long(source, pos + 2) or find(source, "\n", pos, true) or #source + 1
      else
        pos, want_key, pending = pos + 1, false, nil
      end
    elseif c == QUOTE or c == APOSTROPHE then
      pos, want_key, pending, returned = after_string(source, pos), false, nil, false
    elseif c == BRACE then
      local new = { keys = {} }
      result.nodes[#result.nodes + 1] = new
      if pending then
        pending.node = new
      end
      if returned and top == 0 then
        result.root = new
      end
      push(new)
      pos, want_key, pending, returned = pos + 1, true, nil, false
    elseif c == BRACKET then
      local after, key, last = after_long(source, pos), nil, nil
      if not after and want_key then
        key, after, last = bracketed_key(source, pos)
      end
      pending, want_key, returned = nil, false, false
      if key then
        pending = add_key(key, pos, last)
      elseif not after then
        push(true)
      end
      pos = after or pos + 1
    elseif c == 40 then -- (
      push(true)
      pos, want_key, pending, returned = pos + 1, false, nil, false
    elseif c == 41 or c == 93 or c == 125 then -- ) ] }
      pop()
      pos, want_key, pending, returned = pos + 1, false, nil, false
    elseif c == COMMA or c == SEMICOLON then
      want_key, pending, returned = node ~= nil, nil, false
      pos = pos + 1
    else
      local _, stop = find(source, "^[%w_]*", pos)
      local word = sub(source, pos, stop)
      pending, returned = nil, false
      if OPENS[word] then
        push(false)
      elseif CLOSES[word] then
        pop()
      elseif word == "return" then
        returned = true
      elseif want_key then
        local equals = skip_space(source, stop + 1)
        if byte(source, equals) == EQUALS and byte(source, equals + 1) ~= EQUALS then
          pending = add_key(word, pos, stop)
          stop = equals
        end
      end
      want_key = false
      pos = stop + 1
    end
  end
  return result
end

--- The place of a key by its path from the table that the file returns; of the first table with that key where the
--- returned one is not written there; else nil.
--- @param scan tidegate.KeyScan
--- @param path string[]
--- @return tidegate.KeyPlace?
function M.lookup(scan, path)
  local node, place = scan.root, nil
  for index, name in ipairs(path) do
    local here = node and node.keys[name]
    if not here and index == 1 then
      for _, other in ipairs(scan.nodes) do
        here = here or other.keys[name]
      end
    end
    if not here then
      return place
    end
    place, node = here, here.node
  end
  return place
end

-- The functions that the C module has.
function M.module()
  return {
    doubles = function(source)
      local doubles = M.scan(source).doubles
      return doubles[1] and doubles
    end,
    lookup = function(source, path)
      local place = M.lookup(M.scan(source), path)
      if place then
        return place.offset, place.stop
      end
    end,
    may_assign = function() return true end,
    forget = function() end,
  }
end

return M
