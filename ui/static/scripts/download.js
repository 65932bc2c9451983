// Have the browser fetch a file from the server's cache.
(path) => {
  if (!path) return;
  const link = document.createElement("a");
  const escaped = path.split("/").map(encodeURIComponent).join("/");
  link.href = new URL(`gradio_api/file=${escaped}`, `${window.gradio_config.root.replace(/\/$/, "")}/`);
  link.download = "";
  link.click();
}
