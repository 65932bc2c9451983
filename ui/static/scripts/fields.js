// Fields with data-action show the server's value, their data-value, unless the user has put in another one
// that the server has not confirmed yet. An answer may be older than that, and must not take it away. Only an answer
// with data-fresh does: what it brings replaces everything.
const unconfirmed = new Map(); // by the field's key, for an object's row may become another's
let focused = "", isTyping = false, pause = null;

const fields = () => [...element.querySelectorAll("input[data-action]")];
const key = (field) => `${field.dataset.action} ${field.dataset.id}`;

element.addEventListener("focusin", (event) => { focused = event.target.matches("input[data-action]") ? key(event.target) : ""; });
element.addEventListener("input", (event) => {
  if (!event.target.matches("input[data-action]")) return;
  unconfirmed.set(key(event.target), event.target.value);
  isTyping = event.target.type === "text";
  clearTimeout(pause);
  const { typing, id } = event.target.dataset, { value } = event.target; // such a field also tells what is being typed
  if (typing) pause = setTimeout(() => trigger("act", { action: typing, id: Number(id), value }), 200);
});
element.addEventListener("focusout", (event) => {
  const field = event.target;
  if (!isTyping || key(field) !== focused) return;
  isTyping = false;
  clearTimeout(pause);
  field.value = field.value.trim().replace(/\s+/g, " ") || (field.required ? field.dataset.value : "");
  unconfirmed.set(key(field), field.value);
  send(field, field.value);
});
element.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && event.target.matches("input[type=text]")) event.target.blur();
});

function show() {
  const all = fields(), keys = new Set(all.map(key));
  const left = document.activeElement, { selectionStart, selectionEnd } = left;
  const isFresh = element.querySelector("[data-fresh]") !== null;
  if (isFresh) isTyping = false;
  for (const gone of [...unconfirmed.keys()].filter((each) => !keys.has(each))) unconfirmed.delete(gone);
  for (const field of all) {
    const known = field.dataset.value;
    if (isFresh && unconfirmed.has(key(field))) {
      unconfirmed.set(key(field), known);
      send(field, known); // an event that is still on its way must not undo this
    } else if (unconfirmed.get(key(field)) === known) {
      unconfirmed.delete(key(field));
    }
    const value = unconfirmed.get(key(field)) ?? known;
    if (field.value !== value) field.value = value;
  }
  const mine = all.find((field) => key(field) === focused);
  if (!mine || mine === left || !all.includes(left)) return;
  mine.focus(); // its object has moved to another row, and the caret with it
  if (mine.type === "text") mine.setSelectionRange(selectionStart, selectionEnd);
}
// Not watch("value"): it tells a moment after the rows have changed, in which a key would go to another object.
new MutationObserver(show).observe(element, {
  subtree: true, childList: true, attributeFilter: ["data-id", "data-value", "data-fresh"],
});
show();
