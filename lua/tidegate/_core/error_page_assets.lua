-- Style and script of the error page (_core/error_page.lua). Nothing is loaded from elsewhere.

local M = {}

M.style = [[
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --bad: #c22; --mark: #c221; --dim: #777; }
@media (prefers-color-scheme: dark) { :root { --bad: #ff7b72; --mark: #ff7b7222; --dim: #999; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1rem; max-width: 60rem; font: 1rem/1.5 system-ui, sans-serif; }
header { display: flex; gap: 1rem; align-items: baseline; justify-content: space-between; color: var(--dim); }
h1 { margin: .5rem 0 1rem; font-size: 1.4rem; color: var(--bad); white-space: pre-wrap; overflow-wrap: anywhere; }
h2 { margin: 1.5rem 0 .5rem; font-size: 1rem; }
pre, code, td, summary { font: .85rem/1.6 ui-monospace, Menlo, Consolas, monospace; }
pre { margin: 0; padding: .5rem 0; overflow-x: auto; border: 1px solid var(--line); border-radius: .4rem; }
pre span { display: block; padding: 0 .75rem; min-height: 1.6em; }
pre .at { background: var(--mark); }
pre .caret { color: var(--bad); font-weight: bold; }
details { margin: .4rem 0; }
summary { cursor: pointer; padding: .2rem 0; }
table { border-collapse: collapse; width: 100%; }
td { padding: .2rem .75rem .2rem 0; border-top: 1px solid var(--soft); vertical-align: top; overflow-wrap: anywhere; }
td:first-child { color: var(--dim); white-space: nowrap; }
button { font: inherit; padding: .2rem .8rem; border: 1px solid var(--line); border-radius: .4rem; background: none;
  color: inherit; cursor: pointer; }
footer { margin-top: 2rem; color: var(--dim); font-size: .85rem; }
]]

-- Asks which generation serves, and loads the page anew when it is another one. What a request that changes something
-- has done is not done again by itself.
M.script = [[
const data = document.body.dataset;
const button = document.getElementById("copy");
button.addEventListener("click", async () => {
  const text = document.getElementById("plain").textContent;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  button.textContent = "Copied";
});
async function look() {
  try {
    const answer = await fetch("/__tidegate/state", { cache: "no-store" });
    const state = await answer.json();
    if (state.generation !== Number(data.generation) || state.load_failures !== Number(data.loadFailures)) {
      if (data.safe) {
        location.reload();
        return;
      }
      document.getElementById("state").textContent = "The code has changed: send the request again.";
    }
  } catch {
    // the server is away for a moment
  }
  setTimeout(look, 400);
}
setTimeout(look, 400);
]]

return M
