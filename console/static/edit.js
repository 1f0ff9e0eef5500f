// What is written is kept as a draft while it is written, and what is wrong with it is shown. The buttons do the same without this.

const DELAY = 1200; // milliseconds of rest before it is kept
const BUSY = 10000; // before it is tried again when the service has too much to do
const LEAVING = 60000; // bytes that a browser still sends when its tab is closed

const form = document.querySelector("form[data-edit]");
const said = form.querySelector("[data-kept]");
let waiting;
let running = null;
let isChanged = false; // what is written is not kept
let isNewer = false; // and has not been sent either

function fields() {
  const data = new FormData(form);
  // Files go with a button, not with each letter.
  for (const input of form.querySelectorAll("input[type=file]")) data.delete(input.name);
  data.set("do", "keep");
  data.set("as", "part");
  return data;
}

async function keep() {
  isNewer = false;
  said.textContent = "Keeping …";
  const body = fields();
  // What is on its way goes on without its tab.
  const keepalive = new Blob([...body.values()]).size < LEAVING;
  let answer;
  try {
    answer = await fetch(form.action, { method: "POST", body, keepalive });
  } catch {
    said.textContent = "Not kept: the service does not answer.";
    return;
  }
  if (answer.status === 401 || answer.status === 403) {
    said.textContent = "Not kept: sign in in another tab, then go on here. Nothing is lost meanwhile.";
    return;
  }
  if (answer.status === 429 || answer.status === 503) {
    said.textContent = "Not kept yet: the service is busy.";
    schedule(BUSY);
    return;
  }
  const state = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("state");
  if (!state) {
    said.textContent = "Not kept: use the button to see why.";
    return;
  }
  isChanged = isNewer || !answer.ok;
  form.elements.draft.value = state.dataset.draft;
  form.elements.revision.value = state.dataset.revision;
  const discard = form.querySelector("[data-discard]");
  if (discard) discard.hidden = !state.dataset.draft;
  const shown = document.getElementById("state");
  if (!shown.hidden) shown.replaceWith(state);
  said.textContent = answer.ok ? (state.dataset.draft ? "Kept as a draft." : "Nothing has changed.") : "Not kept.";
}

function start(isBeside = false) {
  clearTimeout(waiting);
  if (running && !isBeside) return running;
  const mine = keep().finally(() => {
    if (running !== mine) return;
    running = null;
    if (isNewer) schedule();
  });
  running = mine;
  return mine;
}

function schedule(delay = DELAY) {
  clearTimeout(waiting);
  waiting = setTimeout(() => start(), delay);
}

form.addEventListener("input", (event) => {
  if (event.target.type === "file") return;
  isChanged = isNewer = true;
  said.textContent = "";
  schedule();
});

// A button waits for what is on its way: both would change the same draft.
form.addEventListener("submit", (event) => {
  clearTimeout(waiting);
  // It sends all of it; the page goes, and need not be kept on its way out.
  isChanged = isNewer = false;
  if (!running) return;
  event.preventDefault();
  const button = event.submitter;
  running.then(() => form.requestSubmit(button));
});

document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "hidden" && isChanged) start();
});

// What was written since does not wait for what is on its way; it may become another draft, which is better than none.
addEventListener("pagehide", () => {
  if (isChanged) start(isNewer);
});
