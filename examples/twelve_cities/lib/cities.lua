-- Twelve cities, and how long each one takes to say what the weather is like. One of them never says it.
--
-- A city stands for a call to a service somewhere: it waits, and then it has an answer or an error. While it waits
-- the loop serves other requests, because tg.sleep suspends the task, not the thread.
local tg = require "tidegate"

local weather = {
  { "Amsterdam", 0.08, 14 }, { "Berlin", 0.06, 12 }, { "Cairo", 0.10, 29 }, { "Delhi", 0.09, 31 },
  { "Edinburgh", 0.05, 9 }, { "Fukuoka", 0.10, 21 }, { "Geneva", 0.07, 15 }, { "Helsinki", 0.04, 6 },
  { "Istanbul", 0.08, 19 }, { "Jakarta", 0.10, 30 }, { "Kyoto", 0.09, 20 }, { "Lima", 0.06 },
}

local cities = { names = {} }
local by_name = {}
for index, row in ipairs(weather) do
  cities.names[index] = row[1]
  by_name[row[1]] = row
end

--- The temperature of a city. Suspends; raises an error for the one that does not answer.
function cities.ask(name)
  local row = by_name[name]
  tg.sleep(row[2])
  if not row[3] then
    error(name .. " does not answer")
  end
  return row[3]
end

return cities
