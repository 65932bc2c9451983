// The clip with its masks plays over the picture once, a short one more often, or until it or anything else is pressed.
// It does not play in the way of a user who goes on marking: whose last press was on the picture or its timeline.
const AIMED = 500; // milliseconds: a press so soon was meant for the picture below, and reaches it
let shown = "", end = null, goesOn = false;
const masks = () => element.querySelector(".vg-masks");
const stop = () => { clearTimeout(end); if (masks()) masks().hidden = true; };

function show() {
  const playing = masks();
  if (!playing || playing.dataset.start === shown) return;
  shown = playing.dataset.start;
  stop();
  if (goesOn) return;
  element.style.setProperty("--vg-picture", `${document.querySelector("#stage img").clientHeight}px`);
  playing.hidden = false;
  const { top, height } = playing.getBoundingClientRect(), isSeen = top >= 0 && top + height / 2 < innerHeight;
  if (!isSeen && !document.activeElement?.matches("textarea, input[type=text]")) // on a phone the button is far below
    document.querySelector("#stage").scrollIntoView({ behavior: "smooth" });
  playing.style.pointerEvents = "none";
  setTimeout(() => { playing.style.pointerEvents = ""; }, AIMED);
  end = setTimeout(stop, 1000 * playing.dataset.seconds);
}
element.addEventListener("click", stop); // not at the pointer's way down, or its way up would mark what lies below
for (const press of ["pointerdown", "click"]) // keys click buttons without a pointer
  document.addEventListener(press, ({ target }) => { goesOn = Boolean(target.closest("#picture, #timeline")); });
document.addEventListener("pointerdown", ({ target }) => { if (!element.contains(target)) stop(); });
new MutationObserver(show).observe(element, { subtree: true, childList: true, attributeFilter: ["data-start"] });
show();
