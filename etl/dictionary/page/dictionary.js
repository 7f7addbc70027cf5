// Finds relations and columns by the words of their names and meanings. Without it the tables stay.
"use strict";

const entries = JSON.parse(document.getElementById("index").textContent);
const form = document.getElementById("search");
const hits = document.getElementById("hits");
const found = document.getElementById("found");
const MOST = 40;

const texts = entries.map(([relation, column, meaning]) =>
  `${relation} ${column} ${meaning}`.toLowerCase().replaceAll("_", " "),
);

// A name that is the word comes first, then names that have it, then meanings.
function rank(at, words) {
  const [relation, column] = entries[at];
  const name = (column || relation.split(".")[1]).toLowerCase().replaceAll("_", " ");
  if (name === words.join(" ")) return 0;
  return words.every((word) => name.includes(word)) ? 1 : 2;
}

function show() {
  const words = form.elements.words.value.toLowerCase().split(/[\s_.]+/).filter(Boolean);
  hits.replaceChildren();
  found.textContent = "";
  if (!words.length) return;
  const matching = texts.flatMap((text, at) => (words.every((word) => text.includes(word)) ? [at] : []));
  matching.sort((a, b) => rank(a, words) - rank(b, words) || a - b);
  for (const at of matching.slice(0, MOST)) {
    const [relation, column, meaning] = entries[at];
    const link = document.createElement("a");
    link.href = `relations/${relation}.html${column ? `#${column}` : ""}`;
    link.textContent = column ? `${relation}.${column}` : relation;
    const said = document.createElement("small");
    said.textContent = meaning;
    const item = document.createElement("li");
    item.append(link, said);
    hits.append(item);
  }
  const rest = matching.length > MOST ? `, the first ${MOST} shown` : "";
  found.textContent = `${matching.length.toLocaleString("en")} found${rest}`;
}

form.hidden = false;
form.addEventListener("input", show);
form.addEventListener("submit", (event) => event.preventDefault());
