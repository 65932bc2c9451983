// Have the browser fetch a file from the server's cache.
(path) => {
  if (!path) return;
  const link = document.createElement("a");
  link.href = new URL(`gradio_api/file=${path}`, `${window.gradio_config.root.replace(/\/$/, "")}/`);
  link.download = "";
  link.click();
}
