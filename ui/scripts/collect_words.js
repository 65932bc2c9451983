// Takes the words from the fields as they are now: the latest may not have been sent yet when a button is pressed.
(session, _, ...rest) => [
  session,
  JSON.stringify(
    Object.fromEntries(Array.from(document.querySelectorAll("[data-word]"), (field) => [field.dataset.word, field.value]))
  ),
  ...rest,
]
