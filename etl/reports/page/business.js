// What the page shows of its data for the chosen year, state and metal tier.
const data = JSON.parse(document.getElementById("data").textContent);
const form = document.getElementById("filter");
const ALL = "all";
const HIDDEN = `Hidden: of 1 to ${data.few} persons in some month, or needed to keep such a number hidden.`;

// The values of a measure by period; those of all states or tiers are embedded, or the sums of cells
// where nothing is hidden.
const known = new Map();
const valuesOf = (family, measure, state, tier) => {
  const key = [family, measure, state, tier].join("|");
  if (!known.has(key)) known.set(key, findValues(family, measure, state, tier));
  return known.get(key);
};
const findValues = (family, measure, state, tier) => {
  const { measures, cells } = data[family];
  const at = measures.indexOf(measure);
  const cell = cells[`${state}|${tier}`];
  if (cell) return cell[at];
  const added = (state === ALL ? data.states : [state])
    .flatMap((each) => (tier === ALL ? data.tiers : [tier]).map((other) => cells[`${each}|${other}`]))
    .filter(Boolean)
    .map((one) => one[at]);
  return added.length ? added[0].map((_, n) => added.reduce((so, values) => so + values[n], 0)) : null;
};
const sum = (values, places) =>
  values === null ? 0 : places.reduce((all, at) => (all === null || values[at] === null ? null : all + values[at]), 0);
const over = (above, below) => (above === null || below === null || !below ? null : above / below);
const name = (chosen) => [
  chosen.state === ALL ? "all states" : chosen.state,
  chosen.tier === ALL ? "all metal tiers" : chosen.tier,
  chosen.year || "all years",
].join(", ");
const monthName = (first) => new Date(`${first}T00:00:00Z`).toLocaleDateString("en-US", { month: "long", year: "numeric", timeZone: "UTC" });
const quarterName = (first) => `${first.slice(0, 4)} Q${Math.ceil(Number(first.slice(5, 7)) / 3)}`;
const code = (measure) => make("code", {}, measure);

const monthsOf = (year) => data.months.map((_, at) => at).filter((at) => data.months[at].first.startsWith(year));
const quartersOf = (year) => data.quarters.map((_, at) => at).filter((at) => data.quarters[at].first.startsWith(year));
const completeOf = (places) => places.filter((at) => data.months[at].complete);

// Member-months are covered days by those of the month; amounts are embedded in cents.
const ratesOf = (memberMonths, premium, paid) => ({
  memberMonths,
  premium: premium === null ? null : premium / 100,
  paid: paid === null ? null : paid / 100,
  pmpm: over(paid, memberMonths) === null ? null : paid / 100 / memberMonths,
  ratio: over(paid, premium),
});
// Sums of the complete months of the chosen years, for a state and tier.
const sumsOf = (year, state, tier) => {
  const places = data.years.map((_, at) => at).filter((at) => data.years[at].startsWith(year));
  const of = (family, measure) => sum(valuesOf(family, measure, state, tier), places);
  const millionths = of("coverageOfYear", "member_months");
  return ratesOf(millionths === null ? null : millionths / 1e6, of("coverageOfYear", "premium_usd"), of("paidOfYear", "paid_usd"));
};
const ofMonth = (at, state, tier) => {
  const of = (family, measure) => sum(valuesOf(family, measure, state, tier), [at]);
  const days = of("coverage", "covered_days");
  return ratesOf(days === null ? null : days / data.months[at].days, of("coverage", "premium_usd"), of("paid", "paid_usd"));
};

const put = (id, ...content) => document.getElementById(`draw-${id}`).replaceChildren(...content.filter(Boolean));
const says = (...texts) => make("figcaption", {}, ...texts);
const hasSome = (values) => values.some((value) => value !== null);
const gaps = (values) => {
  const hidden = values.filter((value) => value === null).length;
  return hidden ? ` ${count(hidden)} of ${count(values.length)} are hidden.` : "";
};

const drawFigures = (chosen, places) => {
  const complete = completeOf(places);
  const sums = sumsOf(chosen.year, chosen.state, chosen.tier);
  const last = complete.at(-1);
  const members = last === undefined ? null : valuesOf("coverage", "members", chosen.state, chosen.tier);
  const tile = (title, value, format, measure) =>
    make("div", { class: "tile" }, make("span", {}, title), make("b", {}, value === null ? "hidden" : format(value)), make("span", {}, code(measure)));
  if (!complete.length) {
    put("figures", make("p", {}, `No month of ${name(chosen)} is complete.`));
    return;
  }
  put(
    "figures",
    tile(`Members, ${monthName(data.months[last].first)}`, members === null ? 0 : members[last], count, "members"),
    tile(`Member-months, ${count(complete.length)} complete months`, sums.memberMonths, count, "member_months"),
    tile("Premium", sums.premium, (v) => short(v, "$"), "premium_usd"),
    tile("Paid by the plan", sums.paid, (v) => short(v, "$"), "paid_usd"),
    sums.memberMonths === 0 ? null : tile("Paid per member-month", sums.pmpm, usd, "paid_pmpm_usd"),
    sums.premium === 0 ? null : tile("Paid over premium", sums.ratio, percent, "loss_ratio"),
  );
};

const drawSeries = (id, places, values, unit, format, onAxis, measure, sentence) => {
  const months = places.map((at) => data.months[at]);
  if (!months.length || !hasSome(values)) {
    put(id, make("p", {}, months.length ? HIDDEN : "There is nothing in this choice."));
    return;
  }
  const labels = months.map((month) => month.first.slice(0, 7));
  const isOpen = months.map((month) => !month.complete);
  const about = document.getElementById(`draw-${id}`).previousElementSibling.textContent;
  const chart = lineChart(labels, [{ name: "first", label: measure, values }], isOpen, unit, format, onAxis, `${about}; the table below has the numbers.`);
  const rows = months.map((month, n) => [labels[n], values[n] === null ? null : format(values[n]), month.complete ? "yes" : "no"]);
  const open = isOpen.some(Boolean) ? " A hollow dot is a month that is not complete." : "";
  put(id, chart, says(code(measure), `: ${sentence}${open}${gaps(values)}`), folded(tableOf(`${measure} by month`, ["Month", measure, "Complete"], rows)));
};

const change = (from, to) => {
  const share = from ? to / from - 1 : 0;
  return share ? `${percent(Math.abs(share))} ${share > 0 ? "more" : "fewer"} than` : "as many as";
};

const drawMembers = (chosen, places) => {
  const all = valuesOf("coverage", "members", chosen.state, chosen.tier) ?? data.months.map(() => 0);
  const shown = completeOf(places).filter((at) => all[at] !== null);
  const [first, last] = [shown[0], shown.at(-1)];
  let sentence = "no complete month can be shown.";
  if (shown.length) sentence = `${count(all[last])} in ${monthName(data.months[last].first)}`;
  if (shown.length === 1) sentence += ".";
  if (shown.length > 1) sentence += `, ${change(all[first], all[last])} in ${monthName(data.months[first].first)} (${count(all[first])}).`;
  drawSeries("members", places, places.map((at) => all[at]), "Members with a covered day", count, count, "members", sentence);
};

const drawFlows = (chosen) => {
  const places = quartersOf(chosen.year).filter((at) => at > 0);
  const of = (measure) => {
    const values = valuesOf("flows", measure, chosen.state, chosen.tier);
    return places.map((at) => (values ? values[at] : 0));
  };
  const [began, ended] = [of("beginnings"), of("endings")];
  if (!places.length || !hasSome(began)) {
    put("flows", make("p", {}, places.length ? HIDDEN.replace("month", "quarter") : "Nobody's coverage began or ended after the first quarter of the data."));
    return;
  }
  const quarters = places.map((at) => data.quarters[at]);
  const labels = quarters.map((quarter) => quarterName(quarter.first));
  const isOpen = quarters.map((quarter) => !quarter.complete);
  const chart = upAndDown(labels, began, ended, isOpen, "Up: coverage began; down: coverage ended (events)", "Coverage that began and ended by quarter; the table below has the numbers.");
  const last = quarters.map((_, n) => n).filter((n) => quarters[n].complete && began[n] !== null).at(-1);
  const sentence = last === undefined ? "No complete quarter can be shown." : `In ${labels[last]}, the last complete quarter shown, coverage began ${count(began[last])} times and ended ${count(ended[last])} times.`;
  const open = isOpen.some(Boolean) ? " A pale bar is a quarter that is not over: renewals may still come. One with a gap is cut off: it is far longer than the others." : "";
  const rows = quarters.map((quarter, n) => [labels[n], began[n] === null ? null : count(began[n]), ended[n] === null ? null : count(ended[n]), quarter.complete ? "yes" : "no"]);
  put(
    "flows",
    chart,
    says(make("span", { class: "key bar" }), code("beginnings"), ", ", make("span", { class: "key second" }), code("endings"), `: ${sentence} A renewal, or a change of plan without a day between, is neither. The first quarter of the data is left out: what was covered before it is not known.${open}${gaps(began)}`),
    folded(tableOf("beginnings and endings by quarter", ["Quarter", "beginnings", "endings", "Complete"], rows)),
  );
};

const byMonth = (chosen, places, measure) => places.map((at) => ofMonth(at, chosen.state, chosen.tier)[measure]);
// The newest complete months lack claims that still come, and are no extreme.
const YOUNG = 2;
const extremes = (values, places, format) => {
  const young = new Set(completeOf(monthsOf("")).slice(-YOUNG));
  const shown = values.map((value, n) => [value, places[n]]).filter(([value, at]) => value !== null && data.months[at].complete && !young.has(at));
  if (!shown.length) return "";
  const [low, high] = [Math.min, Math.max].map((pick) => pick(...shown.map(([value]) => value)));
  const when = (wanted) => monthName(data.months[shown.find(([value]) => value === wanted)[1]].first);
  return shown.length < 2 ? "" : `; lowest in ${when(low)} (${format(low)}), highest in ${when(high)} (${format(high)}). Claims of the newest ${count(YOUNG)} complete months still come, so these look low`;
};

const drawPmpm = (chosen, places) => {
  const values = byMonth(chosen, places, "pmpm");
  const { pmpm } = sumsOf(chosen.year, chosen.state, chosen.tier);
  const sentence = pmpm === null ? "no sum can be shown." : `${usd(pmpm)} over ${count(completeOf(places).length)} complete months${extremes(values, places, usd)}.`;
  drawSeries("pmpm", places, values, "US dollars per member-month", usd, wholeUsd, "paid_pmpm_usd", sentence);
};

const drawRatio = (chosen, places) => {
  const values = byMonth(chosen, places, "ratio");
  const { ratio } = sumsOf(chosen.year, chosen.state, chosen.tier);
  const sentence = ratio === null ? "no sum can be shown." : `${percent(ratio)} of the premium was paid for claims over ${count(completeOf(places).length)} complete months${extremes(values, places, percent)}.`;
  drawSeries("ratio", places, values, "Paid claims, percent of premium", percent, wholePercent, "loss_ratio", sentence);
};

const drawGroups = (id, names, sumsFor, isChosen, what, places) => {
  const rows = names.map((each) => ({ each, ...sumsFor(each) })).filter((row) => row.memberMonths !== 0 || row.paid);
  const shown = rows.filter((row) => row.pmpm !== null).sort((a, b) => b.pmpm - a.pmpm);
  if (!rows.length || !places.length) {
    put(id, make("p", {}, "There is nothing in this choice."));
    return;
  }
  const table = barTable(
    `paid_pmpm_usd by ${what}, US dollars per member-month`,
    [what, "paid_pmpm_usd", "member_months"],
    [...shown, ...rows.filter((row) => row.pmpm === null)].map((row) => [
      row.each, row.pmpm, row.pmpm === null ? ["", ""] : [usd(row.pmpm), count(row.memberMonths)], isChosen(row.each)]),
  );
  const sentence = shown.length < 2 ? "" : `: highest in ${shown[0].each} (${usd(shown[0].pmpm)}), lowest in ${shown.at(-1).each} (${usd(shown.at(-1).pmpm)}).`;
  put(id, table, says(code("paid_pmpm_usd"), sentence || ".", ` Complete months.${gaps(rows.map((row) => row.pmpm))}`));
};

const yearOf = (chosen, years) => (chosen.year ? chosen.year : Object.keys(years).sort().at(-1));

const drawSpend = (chosen) => {
  const year = yearOf(chosen, data.concentration);
  const shares = data.concentration[year] ?? [];
  const total = shares.find(([hundred]) => hundred === 100)?.[2] ?? 0;
  if (!total) {
    put("spend", make("p", {}, "There is nothing paid in a complete month, or it is hidden: too few members."));
    return;
  }
  const rows = shares.map(([hundred, members, paid]) => [
    hundred === 100 ? "all members" : `costliest ${hundred}${NBSP}%`, paid / total, [percent(paid / total), count(members), wholeUsd(paid / 100)]]);
  const [hundred, , paid] = shares[0];
  const sentence = hundred === 100 ? "" : ` The costliest ${hundred}${NBSP}% of members come to ${percent(paid / total)} of what was paid in ${year}.`;
  put("spend", barTable(`Share of paid_usd of ${year}, by members from the costliest down`, ["Members", "share of paid_usd", "members", "paid_usd"], rows), says(code("paid_usd"), `, of everybody covered in a complete month of ${year}.${sentence}`));
};

const drawBands = (chosen) => {
  const year = yearOf(chosen, data.bands);
  const bands = data.bands[year] ?? [];
  if (!bands.length) {
    put("bands", make("p", {}, `None, or 1 to ${data.few} members in all, reach $100,000 in ${year ?? "any year"}.`));
    return;
  }
  const all = bands.reduce((so, [, members]) => so + members, 0);
  const rows = bands.map(([band, members, paid]) => [band.replace("+", " and more"), members, [count(members), wholeUsd(paid / 100)]]);
  put("bands", barTable(`Members of ${year} by what was paid for them in the year`, ["Band", "members", "paid_usd"], rows), says(code("members"), `: ${count(all)} reach $100,000 in ${year}. Each counts in the highest band that they reach, named by its lower bound.`));
};

const drawItems = (chosen, id, what) => {
  const of = (item) => {
    const years = Object.entries(item.years).filter(([year]) => year.startsWith(chosen.year));
    if (years.some(([, row]) => row === null)) return null;
    return years.reduce((so, [, row]) => so + row[1] / 100, 0);
  };
  const rows = (data.items[id] ?? [])
    .map((item) => ({ label: item.title ? `${item.item} ${item.title}` : item.item, paid: of(item), item }))
    .filter((row) => row.paid !== 0);
  const shown = rows.filter((row) => row.paid !== null).sort((a, b) => b.paid - a.paid);
  if (!rows.length) {
    put(id, make("p", {}, "There are none."));
    return;
  }
  const total = sumsOf(chosen.year, ALL, ALL).paid;
  const members = (item) => (chosen.year ? [count(item.years[chosen.year][0])] : []);
  const table = barTable(
    `paid_usd by ${what}, ${chosen.year || "all years"}`,
    [what, "paid_usd", "of all paid", ...(chosen.year ? ["members"] : [])],
    [...shown, ...rows.filter((row) => row.paid === null)].map((row) => [
      row.label, row.paid,
      row.paid === null ? ["", "", ...(chosen.year ? [""] : [])] : [wholeUsd(row.paid), total ? percent(row.paid / total) : "", ...members(row.item)]]),
  );
  const all = shown.reduce((so, row) => so + row.paid, 0);
  const sentence = total && shown.length ? ` ${shown[0].label} comes first; those shown are ${percent(all / total)} of all that was paid.` : "";
  put(id, table, says(code("paid_usd"), `.${sentence}${gaps(rows.map((row) => row.paid))}`));
};

const drawLag = (chosen) => {
  const months = data.lag.filter(([first]) => first.startsWith(chosen.year));
  if (!months.length) {
    put("lag", make("p", {}, "No complete month has enough claims with a date of payment."));
    return;
  }
  const labels = months.map(([first]) => first.slice(0, 7));
  const [half, most] = [months.map((month) => month[1]), months.map((month) => month[2])];
  const lines = [{ name: "first", label: "half of the claims", values: half }, { name: "second", label: "nine of ten", values: most }];
  const days = (value) => (value % 1 ? value.toFixed(1) : count(value));
  const chart = lineChart(labels, lines, labels.map(() => false), "Days from service to payment", days, days, "Days from service to payment by month; the table below has the numbers.");
  const rows = months.map((month, n) => [labels[n], days(half[n]), days(most[n])]);
  put(
    "lag",
    chart,
    says(make("span", { class: "key bar" }), "half of the claims, ", make("span", { class: "key second" }), `nine of ten: paid within ${days(half.at(-1))} and ${days(most.at(-1))} days for services of ${monthName(months.at(-1)[0])}. Days are paid_date less service_date. The latest months lack claims that are not paid yet, and so look fast.`),
    folded(tableOf("Days from service to payment by month of service", ["Month", "half of the claims", "nine of ten"], rows)),
  );
};

const show = () => {
  const chosen = Object.fromEntries(["year", "state", "tier"].map((key) => [key, form.elements[key].value]));
  const places = monthsOf(chosen.year);
  const complete = completeOf(places);
  document.getElementById("shown").textContent = `Shown: ${name(chosen)}`;
  drawFigures(chosen, places);
  drawMembers(chosen, places);
  drawFlows(chosen);
  drawPmpm(chosen, places);
  drawGroups("tiers", data.tiers, (tier) => sumsOf(chosen.year, chosen.state, tier), (tier) => tier === chosen.tier, "metal tier", complete);
  drawGroups("states", data.states, (state) => sumsOf(chosen.year, state, chosen.tier), (state) => state === chosen.state, "state", complete);
  drawRatio(chosen, places);
  drawSpend(chosen);
  drawBands(chosen);
  drawItems(chosen, "specialty", "specialty");
  drawItems(chosen, "diagnosis_code", "diagnosis");
  drawItems(chosen, "drug_class", "class of drugs");
  drawLag(chosen);
};

if (form) {
  form.hidden = false;
  form.addEventListener("input", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  show();
}

// What is folded is printed too.
addEventListener("beforeprint", () => {
  for (const each of document.querySelectorAll("details")) each.open = true;
});
