// Gradio's player complains of every file that the browser does not play. The studio reads more of them than browsers
// do, and tells the user itself why it cannot read one.
() => document.addEventListener("error", (event) => {
  if (event.target.matches?.("#upload video")) event.stopImmediatePropagation();
}, true)
