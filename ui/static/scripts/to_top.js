// Begin a step at its top: on a phone the button that led here was far below.
() => scrollTo({ top: 0 })
