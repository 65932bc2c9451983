// Put the address of the page with these settings into the clipboard, or ask the user to where that is not allowed.
async (settings) => {
  const link = new URL(location.href);
  link.search = new URLSearchParams({ settings });
  try {
    await navigator.clipboard.writeText(link.href);
  } catch {
    prompt("Copy this link:", link.href); // without https there is no clipboard
  }
}
