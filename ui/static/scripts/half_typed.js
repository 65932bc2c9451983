// A number that is being typed into a slider's field is often none of the slider's on its way: empty, or the 2 of 256.
// The studio would refuse it, so that Gradio learns of it when it is within the range, or when the field is left.
() => {
  const passing = new WeakSet();
  const isHalf = ({ value, validity }) => value === "" || validity.rangeUnderflow || validity.rangeOverflow;
  const isField = (node) => node instanceof Element && node.matches("input[type=number][data-testid=number-input]");
  addEventListener("input", (event) => {
    if (isField(event.target) && isHalf(event.target) && !passing.has(event)) event.stopImmediatePropagation();
  }, true);
  addEventListener("blur", ({ target }) => {
    if (!isField(target) || !isHalf(target)) return;
    const event = new Event("input", { bubbles: true });
    passing.add(event);
    target.dispatchEvent(event); // Gradio's own handler of the blur then takes the nearest number of the range
  }, true);
}
