-- The keys of a table in the order of their names, so that what goes through them does so alike every time.

local sort, tostring, type = table.sort, tostring, type

local function by_text(a, b)
  return tostring(a) < tostring(b)
end

--- @param t table
--- @return any[]
return function(t)
  local out, count, texts = {}, 0, true
  for key in pairs(t) do
    count = count + 1
    out[count] = key
    texts = texts and type(key) == "string"
  end
  if texts then
    sort(out)
  else
    sort(out, by_text)
  end
  return out
end
