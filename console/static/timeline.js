// A slider over the events of the page: it marks one, and leads to the console as it was just after it.
const places = [...document.querySelectorAll(".events .to-then")].reverse();
const box = document.querySelector(".travel");
if (places.length > 1) {
  const slider = box.querySelector("input");
  const shown = box.querySelector("output");
  const way = box.querySelector("a");
  const show = () => {
    const place = places[slider.value];
    for (const one of places) one.closest("li").classList.toggle("chosen", one === place);
    shown.textContent = place.dataset.time;
    way.href = place.href;
  };
  slider.max = places.length - 1;
  slider.value = places.length - 1;
  slider.addEventListener("input", () => {
    show();
    places[slider.value].closest("li").scrollIntoView({ block: "nearest" });
  });
  box.hidden = false;
  show();
}
