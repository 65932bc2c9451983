// Begin a step at its top, with the focus on its first control: the button that led here is out of sight now.
() => {
  scrollTo({ top: 0 });
  const from = document.activeElement;
  if (from?.role === "tab" || !matchMedia("(hover: hover)").matches) return; // on a phone a keyboard would come up
  let tries = 20; // the step's content may come a moment later
  function focus() {
    if (![from, document.body].includes(document.activeElement)) return; // the user was quicker
    const first = [...document.querySelectorAll("#upload button, [data-tool=pick], #words input")].find((node) => node.offsetParent);
    if (first) first.focus({ preventScroll: true });
    else if (tries--) setTimeout(focus, 50);
  }
  focus();
}
