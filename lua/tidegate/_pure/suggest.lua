-- "Did you mean": the nearest of some names, by the edits that typing errors make.

local M = {}

local min, max = math.min, math.max

-- Number of letters changed, left out, put in, or swapped with their neighbour; `limit` + 1 where it is more.
local function distance(a, b, limit)
  if math.abs(#a - #b) > limit then
    return limit + 1
  end
  local before, previous, current = {}, {}, {}
  for j = 0, #b do
    previous[j] = j
  end
  for i = 1, #a do
    current[0] = i
    local best = i
    for j = 1, #b do
      local same = a:byte(i) == b:byte(j)
      local cost = min(previous[j] + 1, current[j - 1] + 1, previous[j - 1] + (same and 0 or 1))
      if i > 1 and j > 1 and a:byte(i) == b:byte(j - 1) and a:byte(i - 1) == b:byte(j) then
        cost = min(cost, before[j - 2] + 1)
      end
      current[j] = cost
      best = min(best, cost)
    end
    if best > limit then
      return limit + 1
    end
    before, previous, current = previous, current, before
  end
  return previous[#b]
end

--- The nearest name, or nil when none is near. Case does not count; of equally near ones the first in their order.
--- @param word string
--- @param names string[]
--- @return string?
function M.nearest(word, names)
  word = word:lower()
  if #word > 64 then
    return nil
  end
  local limit = max(1, min(2, math.floor(#word / 2)))
  local best, best_cost
  table.sort(names)
  for _, name in ipairs(names) do
    local cost = distance(word, name:lower(), limit)
    if cost <= limit and cost < (best_cost or limit + 1) then
      best, best_cost = name, cost
    end
  end
  return best
end

--- `; did you mean limits?`, or the empty string.
--- @param word string
--- @param names string[]
--- @param prefix string? put before the name that is found
--- @return string
function M.phrase(word, names, prefix)
  local found = M.nearest(word, names)
  return found and ("; did you mean %s%s?"):format(prefix or "", found) or ""
end

return M
