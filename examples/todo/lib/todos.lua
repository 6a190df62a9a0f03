-- The store. Every loop has Lua variables of its own, so todos lie in tg.shared, which all of them see. Each call on it
-- is one atomic step: `incr` never gives an id twice, and of several `add` of a title at the same time one succeeds.
local tg = require "tidegate"

local store = tg.shared("todos")

local M = {}

local function title_key(title)
  return "title " .. title:lower()
end

local function claim_title(title, id)
  if not store:add(title_key(title), id) then
    tg.abort(409, ("there is a todo with the title %q already"):format(title))
  end
end

--- The todo with that id; 404 where there is none.
function M.find(id)
  return store:get("todo " .. id) or tg.abort(404, "no such todo")
end

function M.add(todo)
  local id = store:incr("last")
  claim_title(todo.title, id)
  todo.id = id
  store:set("todo " .. id, todo)
  return todo
end

function M.change(id, change)
  local todo = M.find(id)
  local before = todo.title
  local renamed = change.title and title_key(change.title) ~= title_key(before)
  if renamed then
    claim_title(change.title, id)
  end
  for name, value in pairs(change) do
    todo[name] = value
  end
  store:replace("todo " .. id, todo)
  if renamed then
    store:delete(title_key(before))
  end
  return todo
end

function M.remove(id)
  store:delete(title_key(M.find(id).title))
  store:delete("todo " .. id)
end

local function fits(todo, filter)
  return (filter.done == nil or todo.done == filter.done)
    and (filter.priority == nil or todo.priority == filter.priority)
    and (filter.q == nil or todo.title:lower():find(filter.q:lower(), 1, true) ~= nil)
end

--- `limit` of the todos that fit, after the first `offset` of them, and how many fit.
function M.list(filter)
  local items, total = {}, 0
  for id = 1, store:get("last") or 0 do
    local todo = store:get("todo " .. id)
    if todo and fits(todo, filter) then
      total = total + 1
      if total > filter.offset and #items < filter.limit then
        items[#items + 1] = todo
      end
    end
  end
  return { items = items, total = total }
end

return M
