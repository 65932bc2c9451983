// Zoom and pan of the picture. The wheel or two fingers zoom where they are, the middle button, Alt or two fingers pan.
const MAX_ZOOM = 12, BRUSH_STEP = 5;
const whole = find("[data-whole]");
const zoom = { scale: 1, x: 0, y: 0 }; // a point of the whole picture is shown at point · scale + (x, y), in CSS pixels
let isMoving = false, before = null; // whether fingers or the pan hold the picture, and where they were

function onWhole(x, y) {
  return [(x - zoom.x) / zoom.scale, (y - zoom.y) / zoom.scale];
}

function pictureSize() {
  const { width, height } = picture.getBoundingClientRect();
  return { width: width / zoom.scale, height: height / zoom.scale };
}

// Zoom by a factor around a point of the canvas, and move by some CSS pixels.
function moveView(x, y, factor, right = 0, down = 0) {
  const { width, height } = pictureSize(), scale = Math.max(1, Math.min(MAX_ZOOM, zoom.scale * factor));
  if (!width) return; // another step is shown
  const within = (value, size) => Math.min(0, Math.max(size * (1 - scale), value));
  zoom.x = within(x - ((x - zoom.x) * scale) / zoom.scale + right, width);
  zoom.y = within(y - ((y - zoom.y) * scale) / zoom.scale + down, height);
  zoom.scale = scale;
  showZoom(width, height);
  draw();
}

function showZoom(width, height) {
  const { scale, x, y } = zoom;
  whole.hidden = scale === 1;
  whole.textContent = `${scale.toFixed(1)}× · Whole picture`;
  picture.style.transformOrigin = "0 0";
  picture.style.transform = scale === 1 ? "" : `translate(${x}px, ${y}px) scale(${scale})`;
  const hidden = [-y, width * (scale - 1) + x, height * (scale - 1) + y, -x].map((side) => `${side / scale}px`);
  picture.style.clipPath = scale === 1 ? "" : `inset(${hidden.join(" ")})`; // nothing lies over what is around it
}

function wholePicture() {
  moveView(0, 0, 0);
}

const fromCanvas = (x, y) => {
  const area = canvas.getBoundingClientRect();
  return [x - area.left, y - area.top];
};

view.addEventListener("wheel", (event) => {
  // Where the page could scroll and nothing is zoomed, it scrolls.
  if (!event.ctrlKey && zoom.scale === 1 && (event.deltaY >= 0 || window.scrollY > 0)) return;
  event.preventDefault();
  const pixels = event.deltaMode ? 16 : 1; // a line's height
  const pace = event.ctrlKey ? 100 : 400; // of a trackpad's pinch, and of a wheel
  moveView(...fromCanvas(event.clientX, event.clientY), Math.exp((-event.deltaY * pixels) / pace), -event.deltaX * pixels);
}, { passive: false });

canvas.addEventListener("mousedown", (event) => {
  if (event.button === 1) event.preventDefault(); // else the browser scrolls by itself
});
canvas.addEventListener("pointerdown", (event) => {
  if (zoom.scale === 1 || !(event.button === 1 || (event.button === 0 && event.altKey))) return;
  event.stopImmediatePropagation();
  canvas.setPointerCapture(event.pointerId);
  isMoving = true;
  before = [event.clientX, event.clientY];
}, { capture: true });
canvas.addEventListener("pointermove", (event) => {
  if (!isMoving || event.pointerType === "touch") return;
  moveView(0, 0, 1, event.clientX - before[0], event.clientY - before[1]);
  before = [event.clientX, event.clientY];
});
canvas.addEventListener("pointerup", (event) => {
  if (!isMoving || event.pointerType === "touch") return;
  event.stopImmediatePropagation();
  isMoving = false;
}, { capture: true });

const fingers = ({ touches: [one, other] }) => ({
  x: (one.clientX + other.clientX) / 2,
  y: (one.clientY + other.clientY) / 2,
  apart: Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY),
});
canvas.addEventListener("touchstart", (event) => {
  if (event.touches.length !== 2) return;
  isMoving = true;
  points = []; // what the first finger began
  corner = null;
  before = fingers(event);
});
canvas.addEventListener("touchmove", (event) => {
  if (!isMoving || event.touches.length !== 2) return;
  event.preventDefault();
  const now = fingers(event);
  moveView(...fromCanvas(before.x, before.y), now.apart / before.apart, now.x - before.x, now.y - before.y);
  before = now;
}, { passive: false });
for (const end of ["touchend", "touchcancel"])
  canvas.addEventListener(end, (event) => { if (!event.touches.length) isMoving = false; });

whole.addEventListener("click", wholePicture);
view.addEventListener("keydown", (event) => {
  const { width, height } = pictureSize(), factor = { "+": 1.25, "-": 0.8, 0: 0 }[event.key];
  if (factor === undefined || event.ctrlKey || event.metaKey) return;
  moveView(width / 2, height / 2, factor);
});

// [ and ] change the brush wherever the focus is, unless text is being typed.
document.addEventListener("keydown", (event) => {
  const step = { "[": -BRUSH_STEP, "]": BRUSH_STEP }[event.key];
  if (!step || !view.offsetParent || event.target.matches("input:not([type=range]), textarea, [contenteditable]")) return;
  brush.value = Number(brush.value) + step;
  draw();
});
