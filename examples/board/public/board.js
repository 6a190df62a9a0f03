const list = document.getElementById("messages"), say = document.getElementById("say");

function part(tag, text) {
  const element = document.createElement(tag);
  element.textContent = text; // text stays text
  return element;
}

const events = new EventSource("/events?after=" + list.dataset.last);
events.onmessage = (event) => {
  const message = JSON.parse(event.data), item = document.createElement("li");
  item.append(part("time", message.at), " ", part("b", message.name), " ", part("span", message.text));
  list.append(item);
};

// Without this script the form works as well, and loads the page anew.
say?.addEventListener("submit", async (event) => {
  event.preventDefault();
  await fetch(say.action, { method: "POST", body: new URLSearchParams(new FormData(say)), redirect: "manual" });
  say.reset();
});
