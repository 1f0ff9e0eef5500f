// New events above the others, as the feed sends them.
const list = document.getElementById("live");
const state = document.getElementById("state");
const kinds = new Map(list.dataset.kinds.trim().split(/\s+/).map((pair) => pair.split("=")));
const limit = Number(list.dataset.limit);

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function show(message) {
  const event = JSON.parse(message.data);
  const [kind, ...rest] = (event.subject || "").split("/");
  const name = rest.join("/");
  const line = element("li", undefined, "new");
  const time = element("time", new Date(event.time).toLocaleTimeString());
  time.dateTime = event.time;
  time.title = event.time;
  const when = element("div");
  when.append(time);
  const what = element("div");
  const words = event.type.replace(/^skald\./, "").replace(/\.v\d+$/, "").replace(/[._]/g, " ");
  what.append(element("span", words, "what"), " ");
  const about = element("bdi", name);
  if (kinds.has(kind)) {
    const way = element("a");
    way.href = `${list.dataset.base}${kinds.get(kind)}/${encodeURIComponent(name)}/timeline`;
    way.append(about);
    what.append(way);
  } else {
    what.append(about);
  }
  line.append(when, what, element("div"));
  list.querySelector(".empty")?.remove();
  list.prepend(line);
  while (list.children.length > limit) list.lastElementChild.remove();
}

const stream = new EventSource(list.dataset.stream);
for (const type of list.dataset.types.split(" ")) stream.addEventListener(type, show);
stream.addEventListener("open", () => { state.textContent = "Following: what happens shows by itself."; });
stream.addEventListener("error", () => {
  state.textContent = stream.readyState === EventSource.CLOSED
    ? "The stream has ended. Load the page again."
    : "The connection is lost; trying again.";
});
