-- GET /: a page that shows the clock.
local tg = require "tidegate"

local page = [[
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>clock</title>
<style>
:root { color-scheme: light dark; }
body { display: grid; place-content: center; min-height: 90vh; text-align: center; font: 1rem system-ui, sans-serif; }
output { font: 4rem ui-monospace, Menlo, Consolas, monospace; }
</style>
<output id="time">--:--:--</output>
<p id="state">connecting</p>
<script>
const time = document.getElementById("time"), state = document.getElementById("state");
const events = new EventSource("/clock");
events.addEventListener("tick", (event) => { time.value = JSON.parse(event.data).time; });
events.onopen = () => { state.textContent = "UTC"; };
events.onerror = () => { state.textContent = "connecting"; };
</script>
</html>
]]

return function()
  return tg.html(page)
end
