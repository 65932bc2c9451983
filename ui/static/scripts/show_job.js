// Bring the job that was asked for into view: on a phone it appears far below the button.
() => {
  const panel = document.querySelector("#edit-job");
  if (panel.getBoundingClientRect().bottom > innerHeight) panel.scrollIntoView();
}
