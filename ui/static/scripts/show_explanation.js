// Bring what explains a result into view, once its pictures have their height.
async () => {
  const panel = document.querySelector("#attention");
  await Promise.allSettled([...panel.querySelectorAll("img")].map((picture) => picture.decode()));
  panel.scrollIntoView({ block: "nearest" });
}
