// An answer to the picture's question what a click would mark (stage_hover.js).
watch("value", () => document.querySelector("#stage .vg-view")?.dispatchEvent(new CustomEvent("outlined", { detail: props.value })));
