// Before and after from one video that holds both side by side, so that they can never drift apart.
const root = element.querySelector(".vg-compare"), video = root.querySelector("video");
const canvas = root.querySelector("canvas"), seek = root.querySelector("[data-seek]"), ink = canvas.getContext("2d");
let split = 0.5, mode = "slider";

function draw() {
  const half = video.videoWidth / 2, height = video.videoHeight;
  if (!half) return;
  const width = mode === "side" ? 2 * half : half;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  root.style.setProperty("--ratio", width / height);
  if (mode === "side") {
    ink.drawImage(video, 0, 0);
    return;
  }
  ink.drawImage(video, half, 0, half, height, 0, 0, half, height);
  if (mode !== "slider") return;
  const edge = Math.max(1, Math.round(split * half));
  ink.drawImage(video, 0, 0, edge, height, 0, 0, edge, height);
}

function loop() {
  if (!root.isConnected) return;
  if (root.offsetParent) {
    draw();
    if (video.duration && document.activeElement !== seek) seek.value = (1000 * video.currentTime) / video.duration;
    root.classList.toggle("vg-playing", !video.paused);
  }
  requestAnimationFrame(loop);
}

function slide(event) {
  if (mode !== "slider" || !(event.buttons & 1)) return;
  const area = canvas.getBoundingClientRect();
  split = Math.max(0, Math.min(1, (event.clientX - area.left) / area.width));
  root.style.setProperty("--split", split);
}

function show() {
  root.hidden = !props.value;
  if (!props.value) return video.removeAttribute("src");
  const path = props.value.split("/").map(encodeURIComponent).join("/");
  video.src = new URL(`gradio_api/file=${path}`, `${window.gradio_config.root.replace(/\/$/, "")}/`);
  video.play().catch(() => {});
}

canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); slide(event); });
canvas.addEventListener("pointermove", slide);
seek.addEventListener("input", () => { video.currentTime = (seek.value / 1000) * video.duration; });
root.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button?.dataset.mode) {
    mode = root.dataset.mode = button.dataset.mode;
    for (const other of root.querySelectorAll("button[data-mode]"))
      other.setAttribute("aria-pressed", String(other === button));
  } else if (button) {
    video.paused ? video.play() : video.pause();
  }
});
watch("value", show);
show();
loop();
