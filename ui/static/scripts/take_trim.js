// Put the seconds of the handles that were moved into their fields.
(start, end) => {
  const duration = Number(document.querySelector("#trim .vg-trim").dataset.duration);
  return [["start", start], ["end", end]].map(([name, seconds]) => {
    const handle = document.querySelector(`#trim input[name=${name}]`), isMoved = "moved" in handle.dataset;
    delete handle.dataset.moved;
    return isMoved ? Math.min(handle.value, duration) : seconds;
  });
}
