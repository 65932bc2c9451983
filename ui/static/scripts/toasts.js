// Messages of errors stay until they are closed, and Gradio lists them together: the same one is shown once.
() => {
  function showOnce(toast) {
    const seen = new Set();
    for (const message of toast.querySelectorAll("[data-testid=toast-text]")) {
      const line = message.parentElement, isSeen = seen.has(message.textContent);
      line.hidden = isSeen;
      if (line.previousElementSibling?.matches(".toast-separator")) line.previousElementSibling.hidden = isSeen;
      seen.add(message.textContent);
    }
  }
  const showAllOnce = () => document.querySelectorAll("[data-testid=toast-body]").forEach(showOnce);
  new MutationObserver(showAllOnce).observe(document.body, { subtree: true, childList: true });
}
