// Two handles over a strip of pictures choose a part of the video; they never cross.
const handle = (name) => element.querySelector(`input[name=${name}]`);

element.addEventListener("input", ({ target }) => {
  const start = handle("start"), end = handle("end"), gap = Number(target.step);
  if (target === start) start.value = Math.min(start.value, end.value - gap);
  else end.value = Math.max(end.value, Number(start.value) + gap);
  const strip = element.querySelector(".vg-trim");
  strip.style.setProperty("--from", start.value / start.max);
  strip.style.setProperty("--to", end.value / end.max);
});
element.addEventListener("change", ({ target }) => {
  target.dataset.moved = "";
  trigger("act");
});
