// Poll only while the page is visible, and send the ETag: the server answers 304 if nothing has changed.
const tags = new Map();

document.addEventListener("htmx:configRequest", (event) => {
  if (document.hidden) event.preventDefault();
  const tag = tags.get(event.detail.path);
  if (tag) event.detail.headers["If-None-Match"] = tag;
});

document.addEventListener("htmx:afterRequest", (event) => {
  const tag = event.detail.xhr.getResponseHeader("ETag");
  if (tag) tags.set(event.detail.requestConfig.path, tag);
});
