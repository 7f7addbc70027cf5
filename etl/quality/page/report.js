// Comfort only: the page says everything without it.
"use strict";

const table = document.getElementById("all-checks");
const form = document.getElementById("filter");

if (table && form) {
  const rows = [...table.tBodies[0].rows];
  const count = document.getElementById("shown");
  const show = () => {
    const words = form.elements.words.value.toLowerCase().split(/\s+/).filter(Boolean);
    const state = form.elements.state.value;
    const severity = form.elements.severity.value;
    const name = form.elements.table.value;
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !(
        words.every((word) => text.includes(word)) &&
        (!state || row.dataset.state === state) &&
        (!severity || row.dataset.severity === severity) &&
        (!name || row.dataset.table === name)
      );
      shown += row.hidden ? 0 : 1;
    }
    count.textContent = `${shown.toLocaleString("en")} of ${rows.length.toLocaleString("en")} shown`;
  };
  form.hidden = false;
  form.addEventListener("input", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  show();

  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, at) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      const value = (row) => row.cells[at].dataset.sort ?? row.cells[at].textContent.trim();
      rows.sort((a, b) => value(a).localeCompare(value(b), "en", { numeric: true }));
      if (down) rows.reverse();
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      table.tBodies[0].append(...rows);
    });
  });
}

// What is folded is printed too, the lists of keys apart.
addEventListener("beforeprint", () => {
  for (const folded of document.querySelectorAll("details:not(.keys)")) folded.open = true;
});
