// The clip with its masks plays once over the picture, or until it or anything else is pressed.
let shown = "", end = null;
const masks = () => element.querySelector(".vg-masks");
const stop = () => { clearTimeout(end); if (masks()) masks().hidden = true; };

function show() {
  if (!masks() || masks().dataset.start === shown) return;
  shown = masks().dataset.start;
  element.style.setProperty("--vg-picture", `${document.querySelector("#stage img").clientHeight}px`);
  masks().hidden = false;
  clearTimeout(end);
  end = setTimeout(stop, 1000 * masks().dataset.seconds);
}
element.addEventListener("click", stop); // not at the pointer's way down, or its way up would mark what lies below
document.addEventListener("pointerdown", (event) => { if (!element.contains(event.target)) stop(); });
new MutationObserver(show).observe(element, { subtree: true, childList: true, attributeFilter: ["data-start"] });
show();
