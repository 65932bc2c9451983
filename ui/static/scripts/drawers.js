// Gradio loads a drawer's fields when it is first opened, and sets all of them once more when the last one is there.
// What a user has put in by then is put in again.
() => {
  const LOADING = 15000, LOOK = 50; // milliseconds after the first opening, and between two looks
  const known = new WeakSet();

  function keep(drawer) {
    const before = new Map(), put = new Map(); // by field: its value as the user found it, and as the user left it
    const note = ({ target }) => {
      for (const other of put.keys()) if (other.closest(".block") === target.closest(".block")) put.delete(other); // of one slider
      put.set(target, target.value);
    };
    const find = ({ target }) => { if (!before.has(target)) before.set(target, target.value); };
    const leave = ({ target }) => setTimeout(() => { if (put.has(target)) put.set(target, target.value); }); // within its range now
    const look = setInterval(() => {
      for (const [field, value] of put) {
        if (field.value === value || field.value !== before.get(field)) continue;
        field.value = value;
        field.dispatchEvent(new Event("input", { bubbles: true }));
      }
    }, LOOK);
    const on = { focusin: find, input: note, focusout: leave };
    for (const [name, listen] of Object.entries(on)) drawer.addEventListener(name, listen);
    setTimeout(() => {
      clearInterval(look);
      for (const [name, listen] of Object.entries(on)) drawer.removeEventListener(name, listen);
    }, LOADING);
  }

  document.addEventListener("click", ({ target }) => {
    const drawer = target.closest(".label-wrap")?.closest(".gr-accordion");
    if (!drawer || known.has(drawer)) return;
    known.add(drawer);
    keep(drawer);
  });
}
