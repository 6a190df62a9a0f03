-- GET /: the page that greets you. It is an ordinary route; change it, or delete it.
local tg = require "tidegate"

local routes = {
  { "/hello?name=you", "routes/hello.lua", "the smallest route: a function that returns a table" },
  { "/coroutine", "routes/coroutine.lua", "a coroutine: three waits at the same time, no thread is held" },
  { "/blocking", "routes/blocking.lua", "a blocking route: an ordinary blocking call, on a worker thread" },
  { "/counter", "routes/counter.lua", "a number that all threads share" },
}

local coroutine_source = [==[
-- GET /coroutine: three waits of 0.1 s take 0.1 s. While they wait, this loop serves others.
local tg = require "tidegate"

local function wait_for(name)
  return function()
    tg.sleep(0.1)
    return name
  end
end

return function()
  local start = tg.now()
  local a, b, c = tg.gather(wait_for("tea"), wait_for("toast"), wait_for("egg"))
  return { ready = { a, b, c }, seconds = tg.now() - start, role = tg.role }
end
]==]

local blocking_source = [==[
-- GET /blocking: runs on a worker thread, where a call may block as long as it likes. No other request notices.
local tg = require "tidegate"

return {
  ["GET /"] = {
    blocking = true,
    run = function()
      local start = tg.now()
      local pipe = io.popen("sleep 0.1; date +%H:%M:%S")
      local time = pipe:read("*l")
      pipe:close()
      return { time = time, seconds = tg.now() - start, role = tg.role }
    end,
  },
}
]==]

local style = [[
:root { color-scheme: light dark; --back: #fbfaf7; --text: #1f2328; --dim: #5c6670; --line: #dfdcd3;
  --box: #f2f0ea; --accent: #0b6e75; }
@media (prefers-color-scheme: dark) {
  :root { --back: #14181b; --text: #dfe3e6; --dim: #98a2ab; --line: #2c3338; --box: #1b2125; --accent: #58c0c8; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 3rem 1.25rem 4rem; max-width: 52rem; background: var(--back); color: var(--text);
  font: 1rem/1.6 system-ui, sans-serif; }
h1 { margin: 0; font-size: 2rem; letter-spacing: -0.01em; }
h2 { margin: 2.5rem 0 0.75rem; font-size: 1.15rem; }
p { margin: 0.5rem 0; }
.dim { color: var(--dim); }
a { color: var(--accent); }
code, pre { font: 0.875rem/1.55 ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
pre { margin: 0.75rem 0; padding: 0.9rem 1rem; overflow-x: auto; background: var(--box);
  border: 1px solid var(--line); border-radius: 6px; }
table { width: 100%; border-collapse: collapse; }
td { padding: 0.5rem 1rem 0.5rem 0; border-top: 1px solid var(--line); vertical-align: top; }
td:first-child { white-space: nowrap; }
@media (max-width: 40rem) { td { display: block; padding: 0.1rem 0; border: 0; }
  td:first-child { padding-top: 0.6rem; border-top: 1px solid var(--line); } }
]]

local function escape(text)
  return (text:gsub("[&<>\"]", { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;" }))
end

local rows = {}
for _, row in ipairs(routes) do
  local path, file, text = escape(row[1]), escape(row[2]), escape(row[3])
  rows[#rows + 1] = ('<tr><td><a href="%s"><code>GET %s</code></a></td><td>%s<br><code class="dim">%s</code></td></tr>')
    :format(path, path, text, file)
end

local page = ([[
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>tidegate</title>
<style>
{style}</style>
</head>
<body>
<h1>tidegate is running</h1>
<p class="dim">This page is <code>routes/index.lua</code>. Every file below <code>routes/</code> is a part of the site:
its path is the address, what it returns is the answer.</p>

<h2>Routes</h2>
<table>
{rows}
</table>
<p class="dim"><code>tidegate routes</code> prints all of them, with the files and lines that they come from.</p>

<h2>A coroutine route</h2>
<p>A call that waits suspends the handler, and the loop goes on with other requests. There is no word for it in the
code: it reads from top to bottom.</p>
<pre>{coroutine}</pre>

<h2>A blocking route</h2>
<p>Code that blocks its thread says so with <code>blocking = true</code> and runs in the pool of workers. In a loop
the same call would be refused, because it would stop everybody.</p>
<pre>{blocking}</pre>

<h2>Edit them</h2>
<p>Start with <code>tidegate dev</code>, or with <code>./dev run --watch</code>, change a file and save it: the next
request has the change. If the file does not load, the old answer stays and the terminal shows the line.
Without watching, <code>tidegate reload</code> does the same once you are ready.</p>
<p>Try it: open <code>routes/hello.lua</code>, write another word for <code>"world"</code>, save, and
<a href="/hello">ask again</a>.</p>
<p class="dim">Then <code>docs/tutorial.md</code> leads from here to a whole application.</p>
</body>
</html>
]]):gsub("{(%l+)}", {
  style = style,
  rows = table.concat(rows, "\n"),
  coroutine = escape(coroutine_source),
  blocking = escape(blocking_source),
})

return function()
  return tg.html(page)
end
