// Puts the words as the fields have them now, {object: [what the server knows, what the field holds]}, in the place of
// @words among the values that are sent: the latest may not have been sent yet when a button is pressed.
(...values) => {
  const words = {};
  for (const { dataset, value } of document.querySelectorAll("[data-word]")) words[dataset.word] = [dataset.value, value];
  return values.map((value) => (value === "@words" ? JSON.stringify(words) : value));
}
