// Takes the words from the fields as they are now: the latest may not have been sent yet when a button is pressed.
// A sentence in the user's own words follows them, as it does on the server.
(_, sentence) => {
  const words = {};
  for (const { dataset, value } of document.querySelectorAll("[data-word]")) {
    words[dataset.word] = value;
    if (dataset.value && value) sentence = sentence.replace(dataset.value, () => value);
  }
  return [JSON.stringify(words), sentence];
}
