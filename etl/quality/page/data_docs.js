// What of the stock scripts a reader needs: folding, and the filter on what failed.
"use strict";

document.documentElement.classList.add("scripted");

for (const link of document.querySelectorAll('[data-toggle="collapse"]')) {
  link.addEventListener("click", (event) => {
    event.preventDefault();
    const folded = document.getElementById(link.getAttribute("href").slice(1));
    link.setAttribute("aria-expanded", String(folded.classList.toggle("show")));
  });
}

function filterValidations(hide) {
  for (const cell of document.querySelectorAll(".hide-succeeded-validation-target-child")) {
    const row = cell.closest("tr");
    if (row) row.hidden = hide;
  }
  for (const section of document.querySelectorAll(".ge-section")) {
    const bodies = section.querySelectorAll(".hide-succeeded-validations-column-section-target-child tbody");
    if (bodies.length) section.hidden = [...bodies].every((body) => [...body.rows].every((row) => row.hidden));
  }
}

// The stock page calls these two by name.
function showAllValidations() {
  filterValidations(false);
}

function hideSucceededValidations() {
  filterValidations(true);
}
