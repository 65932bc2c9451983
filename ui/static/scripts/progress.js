// The tab's title shows how far a job is; who has asked for it is told that it has ended while looking elsewhere.
const TITLE = "VideoGrain Studio";
let running = "";

const canTell = "Notification" in window && !/Android/.test(navigator.userAgent); // there only service workers notify
const mayAsk = () => canTell && Notification.permission === "default";
const mayTell = () => canTell && Notification.permission === "granted";

function show() {
  const bar = element.querySelector("[role=progressbar]");
  document.title = bar ? `${bar.getAttribute("aria-valuenow")} % · ${TITLE}` : TITLE;
  if (running && !bar && document.hidden && mayTell()) new Notification(TITLE, { body: `${running}: this has ended.` });
  running = bar?.getAttribute("aria-label") ?? "";
  for (const button of element.querySelectorAll("[data-tell]")) button.hidden = !mayAsk();
}

element.addEventListener("click", (event) => {
  if (event.target.closest("[data-tell]")) Notification.requestPermission().then(show);
});
new MutationObserver(show).observe(element, { subtree: true, childList: true, attributeFilter: ["aria-valuenow"] });
show();
