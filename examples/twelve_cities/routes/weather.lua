-- The same twelve questions in three ways.
local tg = require "tidegate"
local cities = require "cities"

-- An error as a value: { city, degrees } or { city, error }.
local function ask_safely(name)
  local degrees, err = tg.try(cities.ask, name)
  if err then
    return { city = name, error = "no answer" }
  end
  return { city = name, degrees = degrees }
end

-- One function for each city: a group runs functions, so that there is nothing half begun.
local function questions(ask)
  local list = {}
  for index, name in ipairs(cities.names) do
    list[index] = function()
      return ask(name)
    end
  end
  return list
end

local function report(start, answers)
  return { seconds = tg.now() - start, cities = answers }
end

return {
  -- One after the other: a call is finished when it returns. About 0.9 s.
  ["GET /sequence"] = function()
    local start, answers = tg.now(), {}
    for index, name in ipairs(cities.names) do
      answers[index] = ask_safely(name)
    end
    return report(start, answers)
  end,

  -- All at the same time; results in the order of the list. As long as the slowest city: 0.1 s.
  ["GET /together"] = function()
    local start = tg.now()
    return report(start, tg.gather(questions(ask_safely)))
  end,

  -- The same, but nobody catches Lima's error: it cancels the cities that have not answered yet, and the group's
  -- error holds it. Uncaught it would be a 500; here the handler says what it means.
  ["GET /strict"] = function()
    local ok, err = pcall(tg.gather, questions(cities.ask))
    if not ok then
      tg.log.warn(err)
      tg.abort(502, #err.errors .. " city did not answer")
    end
    return "never: Lima does not answer"
  end,
}
