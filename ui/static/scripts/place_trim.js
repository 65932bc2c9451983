// Put the handles of the strip where the fields of seconds say.
(start, end) => {
  for (const [name, seconds] of [["start", start || 0], ["end", end]]) {
    const handle = document.querySelector(`#trim input[name=${name}]`);
    if (!handle) return;
    handle.value = name === "end" ? seconds || handle.max : seconds;
    handle.dispatchEvent(new Event("input", { bubbles: true }));
  }
}
