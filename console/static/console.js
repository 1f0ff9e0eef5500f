// Comforts of every page; each page works without them.

// `/` goes to the search field, as on other sites.
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, textarea, select, [contenteditable]")) return;
  const field = document.querySelector("main input[type=search]") ?? document.querySelector("input[type=search]");
  if (field) {
    event.preventDefault();
    field.focus();
    field.select();
  }
});

// A line to copy gets a button that does it.
for (const line of document.querySelectorAll("[data-copy]")) {
  if (!navigator.clipboard) break;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(line.querySelector("code").textContent);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
  line.append(button);
}

// A choice in a form of filters counts at once.
for (const field of document.querySelectorAll("form.filters select")) {
  field.addEventListener("change", () => field.form.requestSubmit());
}

// What is typed into a search is sought at once: the results of the page that it would lead to take the place of these.
const live = document.querySelector("form[data-live]");
if (live) {
  let latest = 0;
  let waiting;
  const seek = async () => {
    const number = ++latest;
    const values = new URLSearchParams([...new FormData(live)].filter(([, value]) => value !== ""));
    const address = `${live.action}?${values}`;
    const answer = await fetch(address);
    // A session that has ended leads elsewhere; sending the form shows it.
    if (number !== latest || answer.redirected || !answer.ok) return;
    const found = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("results");
    if (number !== latest || !found) return;
    document.getElementById("results").replaceWith(found);
    history.replaceState(null, "", address);
  };
  live.querySelector("input[type=search]").addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(seek, 250);
  });
}

// Relative times go on with the clock.
const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60]];
const words = new Intl.RelativeTimeFormat("en", { numeric: "always" });
function refresh() {
  for (const time of document.querySelectorAll("time")) {
    const seconds = (new Date(time.dateTime) - Date.now()) / 1000;
    if (Math.abs(seconds) < 60 || Math.abs(seconds) >= 30 * 86400) continue;
    const [unit, length] = UNITS.find(([, size]) => Math.abs(seconds) >= size);
    time.textContent = words.format(Math.trunc(seconds / length), unit);
  }
}
setInterval(refresh, 60000);
