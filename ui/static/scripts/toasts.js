// Messages of errors stay until they are closed, or until a user who had time to read them presses something else: the
// mistake may be mended by then. Gradio lists them together under a word of its own; the same one is shown once.
() => {
  const READ = 2000; // milliseconds that a message stays whatever is pressed
  const TITLES = { Error: "That did not work", Warning: "Please note", Info: "For your information" };

  function showOnce(toast) {
    const title = toast.querySelector(".toast-title")?.firstChild, name = TITLES[title?.data.trim()];
    if (name) title.data = name;
    const seen = new Set();
    for (const message of toast.querySelectorAll("[data-testid=toast-text]")) {
      const line = message.parentElement, isSeen = seen.has(message.textContent);
      line.hidden = isSeen;
      if (line.previousElementSibling?.matches(".toast-separator")) line.previousElementSibling.hidden = isSeen;
      seen.add(message.textContent);
      line.dataset.came ??= performance.now();
    }
  }
  const all = () => document.querySelectorAll("[data-testid=toast-body]");
  new MutationObserver(() => all().forEach(showOnce)).observe(document.body, { subtree: true, childList: true });

  document.addEventListener("click", ({ target }) => {
    if (target.closest(".toast-wrap")) return;
    for (const toast of all()) {
      const came = [...toast.querySelectorAll("[data-came]")].map((line) => Number(line.dataset.came));
      if (performance.now() - Math.max(...came) > READ) toast.querySelector("[data-testid=toast-close]").click();
    }
  }, { capture: true });
}
