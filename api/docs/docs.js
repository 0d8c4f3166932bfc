// The reference page: openapi.yaml drawn by Swagger UI. "Try it out" asks this gateway, with the token that the page at /
// keeps in this browser, or with one that is typed into "Authorize" and forgotten with the page.
const token = () => {
  try {
    return localStorage.getItem("jidpost.token");
  } catch {
    return null; // none, or a browser that keeps nothing
  }
};

window.ui = window.SwaggerUIBundle({
  url: "/v1/openapi.yaml",
  dom_id: "#reference",
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  filter: true,
  tryItOutEnabled: true,
  validatorUrl: null,
  onComplete: () => {
    const kept = token();
    if (kept) window.ui.preauthorizeApiKey("bearer", kept);
  },
});
