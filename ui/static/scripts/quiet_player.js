// Gradio's player complains of every file that the browser does not play. The studio reads more of them than browsers
// do, and says itself what is wrong with one that it cannot read.
() => document.addEventListener("error", (event) => {
  if (event.target.matches?.("#upload video")) event.stopImmediatePropagation();
}, true)
