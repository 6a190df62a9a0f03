// Starts Swagger UI on the document that the page names. A file of its own, because the page's policy runs no script
// that stands in the page.
"use strict";

const dark = window.matchMedia("(prefers-color-scheme: dark)");

function followSystem() {
  document.documentElement.classList.toggle("dark-mode", dark.matches);
}

followSystem();
dark.addEventListener("change", followSystem);

const place = document.getElementById("docs");

window.ui = SwaggerUIBundle({
  url: new URL(place.dataset.document, window.location.href).href,
  domNode: place,
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
  deepLinking: true,
  displayRequestDuration: true,
  // Else every document is sent to a validator on the internet.
  validatorUrl: null,
});
