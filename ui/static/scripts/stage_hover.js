// Where the pointer rests, what a click there would mark is outlined. One question is under way at a time.
const REST = 40, PATIENCE = 3000, AGAIN = 500; // milliseconds
const REPEATS = 6; // where there is no outline: the frame may not be encoded yet
const asking = ["pick", "add", "remove"];
let question = 0, isAsked = false, resting = null, wanted = null, repeats = 0;

function forget() {
  wanted = null;
  clearTimeout(resting);
  if (!outlined.length) return;
  outlined = [];
  draw();
}

// What was asked of another picture is of no use.
function renew() {
  question += 1;
  isAsked = false;
  forget();
}

function ask() {
  if (isAsked || !wanted) return;
  const [x, y] = wanted, mine = ++question;
  wanted = null;
  isAsked = true;
  setTimeout(() => { if (question === mine) isAsked = false; }, PATIENCE); // an answer may be lost
  trigger("hover", { tool, frame: frame().frame, x, y, question });
}

canvas.addEventListener("pointermove", (event) => {
  if (event.pointerType === "touch" || event.buttons || isMoving || !asking.includes(tool)) return;
  wanted = pointer;
  repeats = REPEATS;
  clearTimeout(resting);
  resting = setTimeout(ask, REST);
});
for (const end of ["pointerleave", "pointerdown"]) canvas.addEventListener(end, forget);
view.addEventListener("outlined", ({ detail }) => {
  if (detail?.question !== question) return;
  isAsked = false;
  const isThere = pointer && canvas.matches(":hover") && asking.includes(tool);
  outlined = isThere ? detail.outlines : [];
  draw();
  ask();
  if (!isThere || outlined.length || isAsked || !repeats--) return;
  const place = pointer;
  clearTimeout(resting);
  resting = setTimeout(() => { if (pointer === place) wanted = place; ask(); }, AGAIN);
});

picture.addEventListener("load", draw);
new ResizeObserver(() => moveView(0, 0, 1)).observe(view);
watch("value", () => { renew(); show(); draw(); });
choose("pick");
show();
