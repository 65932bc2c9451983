// Buttons, menus and fields with data-action become events: {action, id, value}. Text fields send in fields.js.
let noteSent = () => {}; // where a panel has fields, fields.js
const send = (node, value) => {
  noteSent(node, String(value ?? ""));
  trigger("act", { action: node.dataset.action, id: Number(node.dataset.id ?? 0), value: String(value ?? "") });
};

element.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-action]");
  if (button && !button.disabled) send(button, button.dataset.value);
});
element.addEventListener("change", (event) => {
  const node = event.target;
  if (node.matches("input[type=range]:not([data-live]), select[data-action]")) send(node, node.value);
  if (node.tagName === "SELECT") node.selectedIndex = 0; // it is a menu: its first line says what it is for
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
