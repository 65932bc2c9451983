// Which session this tab goes on with: its own after a reload, else the latest of this browser that no open tab has.
async () => {
  const claim = (id, patience) =>
    new Promise((resolve) => {
      if (!navigator.locks) return resolve(patience > 0); // without them (no https) each tab keeps to its own
      const hold = (lock) => {
        resolve(Boolean(lock));
        return lock ? new Promise(() => {}) : undefined; // for as long as the tab is open
      };
      const options = patience ? { signal: AbortSignal.timeout(patience) } : { ifAvailable: true };
      navigator.locks.request(`videograin ${id}`, options, hold).catch(() => resolve(false));
    });
  try {
    const own = sessionStorage.getItem("videograin-session");
    if (own && (await claim(own, 400))) return own; // the page before this one may still be on its way out
    for (const id of JSON.parse(localStorage.getItem("videograin-sessions") ?? "[]"))
      if (id !== own && (await claim(id, 0))) return id;
  } catch (error) {
    console.warn("No session is kept here:", error.message);
  }
  return "";
}
