// How the page draws: small SVG and tables from lists of numbers. A number that is null is hidden.
"use strict";

const WIDTH = 1000;
const HEIGHT = 100;
const NBSP = "\u00a0";

const make = (name, attributes, ...children) => {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes ?? {})) made.setAttribute(key, value);
  made.append(...children.filter((child) => child !== null));
  return made;
};
const draw = (name, attributes, ...children) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes ?? {})) made.setAttribute(key, value);
  made.append(...children);
  return made;
};

const count = (value) => Math.round(value).toLocaleString("en-US");
const short = (value, unit) => {
  const [size, word] = value >= 1e9 ? [1e9, "B"] : value >= 1e6 ? [1e6, "M"] : value >= 1e4 ? [1e3, "k"] : [1, ""];
  const digits = size === 1 ? (value % 1 ? 2 : 0) : value / size < 100 ? 1 : 0;
  return `${unit}${(value / size).toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits })}${NBSP}${word}`.trim();
};
const usd = (value) => value.toLocaleString("en-US", { style: "currency", currency: "USD" });
const wholeUsd = (value) => value.toLocaleString("en-US", { style: "currency", currency: "USD", maximumFractionDigits: 0 });
const percent = (value) => `${(value * 100).toLocaleString("en-US", { minimumFractionDigits: 1, maximumFractionDigits: 1 })}${NBSP}%`;
const wholePercent = (value) => `${Math.round(value * 100).toLocaleString("en-US")}${NBSP}%`;

// The end of a scale that begins at 0: one that people can halve.
const endOfScale = (most) => {
  if (!(most > 0)) return 1;
  const step = 10 ** Math.floor(Math.log10(most));
  return [1, 1.2, 1.6, 2, 2.4, 3, 4, 5, 6, 8, 10].map((n) => n * step).find((n) => n >= most * 0.999999);
};

// A name with underscores, which a narrow column may break after them.
const breakable = (text) => text.split("_").flatMap((part, at) => (at ? ["_", make("wbr"), part] : [part]));

const tableOf = (caption, heads, rows, name = "") => {
  const cell = (value, at) =>
    at === 0
      ? make("th", { scope: "row" }, value)
      : make("td", { class: value === null ? "n hidden" : "n" }, value ?? "hidden");
  return make(
    "div",
    { class: "wide", tabindex: "0", role: "region", "aria-label": caption },
    make(
      "table",
      name ? { class: name } : {},
      make("caption", {}, caption),
      make("thead", {}, make("tr", {}, ...heads.map((head, at) => make("th", at ? { scope: "col", class: "n" } : { scope: "col" }, ...breakable(head))))),
      make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map(cell)))),
    ),
  );
};

const folded = (table) => make("details", {}, make("summary", {}, "As a table"), table);

// The scale, what is drawn, and labels of some of the times below.
const plot = (kind, unit, scale, content, labels, says) => {
  const most = Math.max(1, Math.ceil(labels.length / 12));
  const named = labels.map((label, at) => ({ label, at })).filter(({ at }) => (labels.length - 1 - at) % most === 0);
  return make(
    "div",
    { class: `plot ${kind}` },
    make("div", { class: "unit" }, unit),
    make("div", { class: "y" }, ...scale.map((label) => make("span", {}, label))),
    draw(
      "svg",
      { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": says },
      draw("path", { class: "grid", d: `M0 0H${WIDTH} M0 ${HEIGHT / 2}H${WIDTH}` }),
      ...content,
    ),
    make(
      "div",
      { class: "x months", "aria-hidden": "true" },
      ...named.map(({ label, at }, n) =>
        make("span", {
          class: (named.length - 1 - n) % 4 ? "spare" : "",
          style: `left:${((at + 0.5) / labels.length) * 100}%`,
        }, label)),
    ),
  );
};

// Lines by time. `lines`: name, class and values of each; `isOpen`: which times are not over.
const lineChart = (labels, lines, isOpen, unit, format, onAxis, says) => {
  const values = lines.flatMap((line) => line.values).filter((value) => value !== null);
  const end = endOfScale(Math.max(...values));
  const step = WIDTH / labels.length;
  const x = (at) => (step * (at + 0.5)).toFixed(1);
  const y = (value) => (HEIGHT * (1 - value / end)).toFixed(1);
  const content = [];
  for (const { name, values: numbers } of lines) {
    let [path, open] = ["", ""];
    numbers.forEach((value, at) => {
      const before = at ? numbers[at - 1] : null;
      if (value === null) return;
      if (before !== null && isOpen[at]) open += `M${x(at - 1)} ${y(before)}L${x(at)} ${y(value)}`;
      else path += `${before === null ? "M" : "L"}${x(at)} ${y(value)}`;
    });
    content.push(draw("path", { class: `line ${name}`, d: path || "M0 0" }));
    if (open) content.push(draw("path", { class: `line open ${name}`, d: open }));
    numbers.forEach((value, at) => {
      if (value === null) return;
      content.push(draw("path", { class: `dot ${name}`, d: `M${x(at)} ${y(value)}h0.01` }));
      if (isOpen[at]) content.push(draw("path", { class: "dot hole", d: `M${x(at)} ${y(value)}h0.01` }));
    });
  }
  labels.forEach((label, at) => {
    const said = lines.map((line) => `${line.label}: ${line.values[at] === null ? "hidden" : format(line.values[at])}`);
    const hit = draw("rect", { class: "hit", x: (step * at).toFixed(1), y: 0, width: step.toFixed(1), height: HEIGHT });
    content.push(draw("g", {}, draw("title", {}, `${label}${isOpen[at] ? ", not complete" : ""}. ${said.join(", ")}`), hit));
  });
  return plot("line", unit, [end, end / 2, 0].map(onAxis), content, labels, says);
};

// Bars up and down from a line in the middle, on one scale: that of the times that are over. What is
// far longer is cut off.
const upAndDown = (labels, ups, downs, isOpen, unit, says) => {
  const judged = labels.flatMap((_, at) => (isOpen[at] ? [] : [ups[at] ?? 0, downs[at] ?? 0]));
  const end = endOfScale(Math.max(...(judged.some(Boolean) ? judged : [...ups, ...downs].map((value) => value ?? 0))));
  const step = WIDTH / Math.max(labels.length, 4);
  const half = HEIGHT / 2;
  const tall = (value) => (half * Math.min(value ?? 0, end)) / end;
  const content = labels.map((label, at) => {
    const going = isOpen[at] ? " going-on" : "";
    const place = { x: (step * (at + 0.2)).toFixed(1), width: (step * 0.6).toFixed(1) };
    const said = (value) => (value === null ? "hidden" : count(value));
    const cut = [[ups[at], 6], [downs[at], HEIGHT - 9]].filter(([value]) => value > end);
    return draw(
      "g",
      {},
      draw("title", {}, `${label}${going ? ", not complete" : ""}: ${said(ups[at])} began, ${said(downs[at])} ended`),
      draw("rect", { class: `bar${going}`, ...place, y: (half - tall(ups[at])).toFixed(1), height: tall(ups[at]).toFixed(1) }),
      draw("rect", { class: `down${going}`, ...place, y: half, height: tall(downs[at]).toFixed(1) }),
      ...cut.map(([, y]) => draw("rect", { class: "cut", ...place, y, height: 3 })),
      draw("rect", { class: "hit", x: (step * at).toFixed(1), width: step.toFixed(1), y: 0, height: HEIGHT }),
    );
  });
  const empty = Array(Math.max(0, 4 - labels.length)).fill("");
  return plot("line", unit, [count(end), "0", count(end)], content, [...labels, ...empty], says);
};

// A table whose second column is a bar: rows are [name, value, texts, isChosen].
const barTable = (caption, heads, rows) => {
  const most = Math.max(0, ...rows.map(([, value]) => value ?? 0));
  const body = rows.map(([name, value, texts, isChosen]) => {
    const bar = make("td", { class: "bar", "aria-hidden": "true" });
    if (value !== null && most > 0) bar.append(make("i", { style: `width:${Math.max(0, (value / most) * 100).toFixed(1)}%` }));
    const cells = value === null
      ? [make("td", { class: "hidden", colspan: texts.length }, "hidden")]
      : texts.map((text) => make("td", { class: "n" }, text));
    return make("tr", isChosen ? { class: "chosen" } : {}, make("th", { scope: "row" }, name), bar, ...cells);
  });
  const [first, ...others] = heads;
  return make(
    "div",
    { class: "wide", tabindex: "0", role: "region", "aria-label": caption },
    make(
      "table",
      { class: "bars" },
      make("caption", {}, caption),
      make("thead", {}, make("tr", {}, make("th", { scope: "col" }, first), make("td", { "aria-hidden": "true" }), ...others.map((head) => make("th", { scope: "col", class: "n" }, ...breakable(head))))),
      make("tbody", {}, ...body),
    ),
  );
};
