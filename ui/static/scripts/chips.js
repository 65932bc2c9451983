// A chip puts its words into the field of words that was used last, or into the first.
let latest = null;
document.addEventListener("focusin", ({ target }) => { if (target.matches("#words [data-action=prompt]")) latest = target; });
element.addEventListener("mousedown", (event) => { if (event.target.closest("[data-chip]")) event.preventDefault(); });
element.addEventListener("click", (event) => {
  const chip = event.target.closest("[data-chip]");
  const field = latest?.isConnected ? latest : document.querySelector("#words [data-action=prompt]");
  if (!chip || !field) return;
  field.focus({ preventScroll: true });
  field.value = chip.dataset.chip;
  field.dispatchEvent(new Event("input", { bubbles: true }));
  field.blur(); // what it holds is taken now (fields.js)
});
