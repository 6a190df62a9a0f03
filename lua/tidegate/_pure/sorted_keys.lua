-- The keys of a table in the order of their names, so that what goes through them does so alike every time.

--- @param t table
--- @return any[]
return function(t)
  local out = {}
  for key in pairs(t) do
    out[#out + 1] = key
  end
  table.sort(out, function(a, b)
    return tostring(a) < tostring(b)
  end)
  return out
end
