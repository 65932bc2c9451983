// Bring the job that was asked for into view: on a phone it appears far below the button, beside open settings above it.
() => {
  const panel = document.querySelector("#edit-job"), { top, bottom } = panel.getBoundingClientRect();
  if (top < 0 || bottom > innerHeight) panel.scrollIntoView();
}
