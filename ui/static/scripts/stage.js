// The picture that the user points at: clicks, boxes and brush strokes become "mark" events in pixels of the frame.
const find = (selector) => element.querySelector(selector);
const view = find(".vg-view"), picture = find("img"), canvas = find("canvas"), brush = find("[data-brush]");
const ink = canvas.getContext("2d");
const CLICK = 6; // CSS pixels: a pointer that moves no farther sets a corner, one that does draws the box
let tool = "pick", corner = null, points = [], pointer = null, isPressed = false, calm = null, outlined = [];

const boxes = () => tool === "box" || tool === "part";
const strokes = () => tool === "brush" || tool === "eraser";
const frame = () => props.value ?? { width: 1, height: 1, frame: 0, markers: [], boxes: [], colour: "#fff" };
const radius = () => (Number(brush.value) / 100) * Math.min(frame().width, frame().height) * 0.25 + 1;

function choose(name) {
  tool = name;
  forget();
  corner = null;
  points = [];
  isPressed = false; // what was begun with the tool before is given up
  for (const button of element.querySelectorAll("[data-tool]"))
    button.setAttribute("aria-pressed", String(button.dataset.tool === name));
  element.querySelector(".vg-stage").dataset.active = name;
  draw();
}

function at(event) {
  const area = canvas.getBoundingClientRect(), { width, height } = frame();
  const inside = (value, size) => Math.max(0, Math.min(size - 0.51, value));
  const [x, y] = onWhole(event.clientX - area.left, event.clientY - area.top);
  return [inside((x / area.width) * width, width), inside((y / area.height) * height, height)];
}

function mark(data) {
  view.classList.add("vg-busy");
  clearTimeout(calm);
  calm = setTimeout(() => view.classList.remove("vg-busy"), 8000);
  trigger("mark", { tool, frame: frame().frame, ...data });
}

function draw() {
  const { width, height, markers, colour } = frame();
  const area = pictureSize(), ratio = window.devicePixelRatio || 1;
  if (!area.width) return;
  canvas.width = Math.round(area.width * ratio);
  canvas.height = Math.round(area.height * ratio);
  canvas.style.width = `${area.width}px`; // else a dense screen would show it larger than the picture
  canvas.style.height = `${area.height}px`;
  ink.translate(zoom.x * ratio, zoom.y * ratio);
  const scale = (canvas.width / width) * zoom.scale;
  outlines(scale, ratio);
  for (const [x0, y0, x1, y1] of frame().boxes) box(x0 * scale, y0 * scale, x1 * scale, y1 * scale, colour, ratio);
  if (corner && pointer) box(corner[0] * scale, corner[1] * scale, pointer[0] * scale, pointer[1] * scale, "#fff", ratio);
  for (const marker of markers) disc(marker.x * scale, marker.y * scale, marker, colour, ratio);
  if (points.length) line(scale, colour);
  if (strokes() && pointer) ring(pointer[0] * scale, pointer[1] * scale, radius() * scale, ratio);
}

function box(x0, y0, x1, y1, colour, ratio) {
  ink.lineWidth = 2 * ratio;
  ink.setLineDash([6 * ratio, 4 * ratio]);
  ink.strokeStyle = colour;
  ink.strokeRect(Math.min(x0, x1), Math.min(y0, y1), Math.abs(x1 - x0), Math.abs(y1 - y0));
  ink.setLineDash([]);
}

function disc(x, y, marker, colour, ratio) {
  ink.beginPath();
  ink.arc(x, y, 10 * ratio, 0, 7);
  ink.fillStyle = marker.inside ? marker.colour ?? colour : "#18181b";
  ink.fill();
  ink.lineWidth = 2 * ratio;
  ink.strokeStyle = "#fff";
  ink.stroke();
  ink.fillStyle = "#fff";
  ink.font = `600 ${11 * ratio}px system-ui, sans-serif`;
  ink.textAlign = "center";
  ink.textBaseline = "middle";
  ink.fillText(`${marker.inside ? "" : "−"}${marker.number}`, x, y + ratio);
}

function line(scale, colour) {
  ink.lineCap = ink.lineJoin = "round";
  ink.lineWidth = 2 * radius() * scale;
  ink.strokeStyle = tool === "eraser" ? "#ffffffb0" : `${colour}b0`;
  ink.beginPath();
  for (const [x, y] of points) ink.lineTo(x * scale, y * scale);
  if (points.length === 1) ink.lineTo(points[0][0] * scale + 0.1, points[0][1] * scale);
  ink.stroke();
}

// What a click would mark (stage_hover.js).
function outlines(scale, ratio) {
  canvas.dataset.outlines = outlined.length;
  if (!outlined.length) return;
  ink.beginPath();
  for (const line of outlined) {
    for (const [x, y] of line) ink.lineTo((x + 0.5) * scale, (y + 0.5) * scale);
    ink.closePath();
  }
  ink.fillStyle = "#ffffff38";
  ink.fill("evenodd");
  for (const [colour, width] of [["#000000a0", 4], ["#fff", 2]]) {
    ink.strokeStyle = colour;
    ink.lineWidth = width * ratio;
    ink.stroke();
  }
}

function ring(x, y, size, ratio) {
  ink.lineWidth = ratio;
  ink.strokeStyle = "#fff";
  ink.beginPath();
  ink.arc(x, y, size, 0, 7);
  ink.stroke();
}

canvas.addEventListener("pointerdown", (event) => {
  if (event.button || isMoving) return;
  canvas.setPointerCapture(event.pointerId);
  isPressed = true;
  pointer = at(event);
  if (strokes()) points = [pointer];
  else if (boxes()) corner ??= pointer;
  draw();
});
canvas.addEventListener("pointermove", (event) => {
  if (isMoving) return;
  pointer = at(event);
  if (points.length) points.push(pointer);
  if (strokes() || corner) draw();
});
canvas.addEventListener("pointerleave", () => {
  pointer = null;
  draw();
});
canvas.addEventListener("pointercancel", () => { // by the system, as for a call or a second finger
  points = [];
  corner = null;
  isPressed = false;
  draw();
});
canvas.addEventListener("pointerup", (event) => {
  const wasPressed = isPressed; // else it was pressed elsewhere
  isPressed = false;
  if (event.button || isMoving || !wasPressed) return;
  const place = at(event), scale = (canvas.clientWidth / frame().width) * zoom.scale;
  if (strokes()) {
    mark({ points, radius: radius() });
    points = [];
  } else if (!boxes()) {
    mark({ points: [place], radius: 0 });
  } else if (Math.hypot(place[0] - corner[0], place[1] - corner[1]) * scale > CLICK) {
    mark({ points: [corner, place], radius: 0 });
    corner = null;
  }
});

// By keyboard: arrows move a cross, Enter presses there: a click, a corner of a box, or a dab of the brush.
view.addEventListener("keydown", (event) => {
  if (event.target !== view) return; // a button that lies over the picture takes its own keys
  const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  const { width, height } = frame();
  pointer ??= [width / 2, height / 2];
  if (step) {
    const pace = event.shiftKey ? 1 : Math.max(1, width / 32);
    pointer = [pointer[0] + step[0] * pace, pointer[1] + step[1] * pace];
    draw();
    const scale = (canvas.width / width) * zoom.scale;
    ring(pointer[0] * scale, pointer[1] * scale, 8, 2);
    event.preventDefault();
  } else if (event.key === "Enter" && boxes()) {
    if (corner) mark({ points: [corner, pointer], radius: 0 });
    corner = corner ? null : pointer;
    draw();
  } else if (event.key === "Enter") {
    mark({ points: [pointer], radius: strokes() ? radius() : 0 });
  } else if (event.key === "Escape") {
    corner = null;
    draw();
  }
});

element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-tool]");
  if (button) choose(button.dataset.tool);
});

function show() {
  const value = props.value;
  element.querySelector(".vg-stage").classList.toggle("vg-blank", !value);
  clearTimeout(calm);
  view.classList.remove("vg-busy");
  if (!value) return;
  const ratio = String(value.width / value.height);
  if (view.style.getPropertyValue("--ratio") !== ratio) wholePicture(); // it is another clip
  view.style.setProperty("--ratio", ratio);
  picture.src = value.image;
  picture.alt = `Frame ${value.frame + 1}`;
}
