// Buttons and fields with data-action become events: {action, id, value}.
const send = (node, value) =>
  trigger("act", { action: node.dataset.action, id: Number(node.dataset.id ?? 0), value: String(value ?? "") });

element.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-action]");
  if (button && !button.disabled) send(button, button.dataset.value);
});
element.addEventListener("change", (event) => {
  if (event.target.matches("input[data-action]:not([data-live]), select[data-action]")) send(event.target, event.target.value);
});

// A slider that shows what it does while it is dragged, at a pace that the server can follow.
let waiting = null;
element.addEventListener("input", (event) => {
  const field = event.target;
  if (!field.matches("input[data-live]")) return;
  field.style.setProperty("--share", field.value / Math.max(1, field.max));
  clearTimeout(waiting);
  waiting = setTimeout(() => send(field, field.value), 60);
});
element.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && event.target.matches("input[type=text]")) event.target.blur();
});
