// Remember the session that this tab works in, for reloads and for the next visit, and hold it while the tab is open.
// The settings that a link has brought are taken by now, and must not be taken again by a reload.
(id) => {
  const page = new URL(location.href);
  page.searchParams.delete("settings");
  history.replaceState(history.state, "", page);
  try {
    const known = JSON.parse(localStorage.getItem("videograin-sessions") ?? "[]").filter((other) => other !== id);
    localStorage.setItem("videograin-sessions", JSON.stringify([id, ...known].slice(0, 8)));
    sessionStorage.setItem("videograin-session", id);
    navigator.locks?.request(`videograin ${id}`, { ifAvailable: true }, (lock) => lock && new Promise(() => {}));
  } catch (error) {
    console.warn("No session is kept here:", error.message);
  }
}
