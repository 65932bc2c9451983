// Fields with data-action show the server's value, their data-value, unless the user has put in another one
// that the server has not confirmed yet. An answer may be older than that, and must not take it away. Only an answer
// with data-fresh does, which replaces everything, or one with a value that was neither there before nor sent since.
const unconfirmed = new Map(); // { value, from, sent } by the field's key, for an object's row may become another's
let focused = "", isTyping = false, pause = null;

const fields = () => [...element.querySelectorAll("input[data-action]")];
const key = (field) => `${field.dataset.action} ${field.dataset.id}`;
const put = (field) => {
  const { from, sent } = unconfirmed.get(key(field)) ?? { from: field.dataset.value, sent: new Set() };
  unconfirmed.set(key(field), { value: field.value, from, sent });
};
noteSent = (node, value) => node.matches("input") && unconfirmed.get(key(node))?.sent.add(value);

element.addEventListener("focusin", (event) => { focused = event.target.matches("input[data-action]") ? key(event.target) : ""; });
element.addEventListener("input", (event) => {
  if (!event.target.matches("input[data-action]")) return;
  put(event.target);
  isTyping = event.target.type === "text";
  clearTimeout(pause);
  const { typing, id } = event.target.dataset, { value } = event.target; // such a field also tells what is being typed
  if (typing) pause = setTimeout(() => trigger("act", { action: typing, id: Number(id), value }), 200);
});
element.addEventListener("focusout", (event) => {
  const field = event.target;
  if (!isBeingTyped(field)) return;
  isTyping = false;
  clearTimeout(pause);
  field.value = field.value.trim().replace(/\s+/g, " ") || (field.required ? field.dataset.value : "");
  put(field);
  send(field, field.value);
});
element.addEventListener("keydown", (event) => {
  if (event.isComposing) return; // Enter takes a word that an input method proposes, for Chinese, Japanese, Korean
  if (event.key === "Enter" && event.target.matches("input[type=text]")) event.target.blur();
});

const isBeingTyped = (field) => isTyping && key(field) === focused;

function show() {
  const all = fields(), keys = new Set(all.map(key));
  const left = document.activeElement, { selectionStart, selectionEnd } = left;
  const isFresh = element.querySelector("[data-fresh]") !== null;
  if (isFresh) isTyping = false;
  for (const gone of [...unconfirmed.keys()].filter((each) => !keys.has(each))) unconfirmed.delete(gone);
  for (const field of all) {
    const known = field.dataset.value, mine = unconfirmed.get(key(field));
    if (isFresh && mine) {
      unconfirmed.set(key(field), { value: known, from: known, sent: new Set() });
      send(field, known); // an event that is still on its way must not undo this
    } else if (mine?.value === known || (mine && !isBeingTyped(field) && known !== mine.from && !mine.sent.has(known))) {
      unconfirmed.delete(key(field));
    }
    const value = unconfirmed.get(key(field))?.value ?? known;
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
