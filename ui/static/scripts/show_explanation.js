// Bring what explains a result into view, once its pictures have their height.
async () => {
  document.querySelector("#phrases").classList.remove("vg-busy");
  const panel = document.querySelector("#attention");
  await Promise.allSettled([...panel.querySelectorAll("img")].map((picture) => picture.decode()));
  if (panel.offsetParent) panel.scrollIntoView({ block: "nearest" });
}
