// Show the copy buttons where scripts may write to the clipboard, which takes https or localhost.
for (const button of navigator.clipboard ? document.querySelectorAll("[data-copy]") : []) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.firstChild.data = "Copied";
  });
}
