// Keys outside of text fields; the list that "?" shows is in rendering/markup.py.
() => {
  const TEXT = "textarea, [contenteditable=true], input:not([type=range], [type=checkbox], [type=radio], [type=button])";
  const TOOLS = { p: "pick", a: "add", r: "remove", b: "brush", e: "eraser", x: "box" };
  const seen = (selector) => [...document.querySelectorAll(selector)].find((node) => node.offsetParent);
  const press = (selector) => {
    const node = seen(selector);
    if (node && !node.disabled) node.click();
    return Boolean(node);
  };
  const showKeys = () => document.querySelector(".vg-keys").showModal();

  function step(direction) {
    if (press(`[data-action=frame][aria-label='${direction < 0 ? "Previous" : "Next"} frame']`)) return true;
    const video = seen("#compare .vg-screen") && document.querySelector("#compare video");
    if (!video) return false;
    video.pause();
    video.currentTime = Math.min(video.duration, Math.max(0, video.currentTime + direction / 24));
    return true;
  }

  function answer(event) {
    const { key, code, target } = event, isPicture = target.closest(".vg-view");
    const isLatin = key.charCodeAt(0) < 128; // else, as on a Cyrillic keyboard, a key counts by its place
    const letter = (isLatin ? key : code.replace("Key", "")).toLowerCase();
    if (event.ctrlKey || event.metaKey) {
      if (letter === "z") return press(`[data-action=${event.shiftKey ? "redo" : "undo"}]`);
      return letter === "y" && press("[data-action=redo]");
    }
    if (event.altKey) return false;
    if (key === "?") return showKeys() ?? true;
    if (key === "Escape") return press(".vg-masks:not([hidden])") || press("[data-tool=pick]");
    if (letter in TOOLS) return press(`[data-tool=${TOOLS[letter]}]`);
    if (key === "ArrowLeft" || key === "ArrowRight")
      return !target.closest("input, [role=tab], [role=slider], select") && step(key === "ArrowLeft" ? -1 : 1);
    if (target.closest("button, a, input, select, summary, [role=tab], [role=option]")) return false; // they take these keys themselves
    if (key === " ") return press("#compare [data-play]") || press("#play-masks");
    return key === "Enter" && !isPicture && press("#new-object");
  }

  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.target.closest(TEXT) || document.querySelector("dialog[open]")) return;
    if (answer(event)) event.preventDefault();
  });
  // Tab leaves a menu, which closes: Gradio's own handler would open it again behind the user.
  window.addEventListener("keydown", (event) => {
    if (event.key === "Tab" && event.target.matches("[role=combobox]")) event.stopPropagation();
  }, { capture: true });
  document.addEventListener("click", (event) => event.target.closest("[data-keys]") && showKeys());
  // A press on the picture does not take the focus there, where arrows would move a cross instead of the frames.
  document.addEventListener("mousedown", (event) => {
    if (!event.target.closest(".vg-view")) return;
    event.preventDefault();
    document.activeElement?.blur();
  });
}
