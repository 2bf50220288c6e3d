// Starts Swagger UI.
const page = document.getElementById("swagger-ui");
SwaggerUIBundle({ url: page.dataset.url, domNode: page, deepLinking: true });
