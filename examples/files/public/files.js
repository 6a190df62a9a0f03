const form = document.getElementById("form"), list = document.getElementById("list"), state = document.getElementById("state");

async function show() {
  const files = await (await fetch("/files")).json();
  list.replaceChildren(...files.map((file) => {
    const item = document.createElement("li"), link = document.createElement("a");
    link.href = "/files/" + file.id;
    link.textContent = file.name;
    item.append(link, ` ${file.size} bytes`, file.note ? `: ${file.note}` : "");
    return item;
  }));
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const answer = await fetch("/files", { method: "POST", body: new FormData(form) });
  const problem = answer.ok ? null : await answer.json();
  state.textContent = problem ? (problem.errors || []).map((row) => `${row.loc[1]} ${row.msg}`).join(", ") || problem.title : "";
  if (answer.ok) {
    form.reset();
    await show();
  }
});

show();
