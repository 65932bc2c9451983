// Remember the session that this tab works in, for reloads and for the next visit, and hold it while the tab is open.
(id) => {
  try {
    const known = JSON.parse(localStorage.getItem("videograin-sessions") ?? "[]").filter((other) => other !== id);
    localStorage.setItem("videograin-sessions", JSON.stringify([id, ...known].slice(0, 8)));
    sessionStorage.setItem("videograin-session", id);
    navigator.locks?.request(`videograin ${id}`, { ifAvailable: true }, (lock) => lock && new Promise(() => {}));
  } catch (error) {
    console.warn("No session is kept here:", error.message);
  }
}
