// The table of all slices: sorted, filtered, and downloaded as CSV.

import { ANSWERS, answerOf, chance, count, find, make, mark, modelOf, refill, say, signed } from "./dom.js";

const ORDER = Object.keys(ANSWERS);
const sorting = { key: "", up: true };
let current = null; // the item that is chosen

/** Wire the controls once. `items()` gives all items, `choose(item)` shows one. */
export function wire(items, choose) {
  const redraw = () => draw(items(), choose);
  find("tools").addEventListener("input", () => {
    const before = find("none").hidden;
    redraw();
    const fit = find("table").tBodies[0].rows.length;
    const words = `${fit} of ${count(items().length, "slice")} fit${fit === 1 ? "s" : ""} the filter.`;
    if (find("none").hidden !== before) say(fit ? words : find("none").textContent);
  });
  find("tools").addEventListener("submit", (event) => event.preventDefault());
  find("csv").addEventListener("click", () => download(csv(items())));
  for (const header of find("table").querySelectorAll("th")) {
    header.querySelector("button").addEventListener("click", () => {
      const { key } = header.dataset;
      // Numbers are first wanted from the largest down, words from A to Z.
      sorting.up = sorting.key === key ? !sorting.up : !header.classList.contains("number");
      sorting.key = key;
      redraw();
    });
  }
}

/** Draw the rows anew. */
export function draw(items, choose) {
  const wanted = find("wanted").value;
  const named = find("named").value.toLowerCase();
  const rows = items.filter((item) => (!wanted || answerOf(item) === wanted) && item.name.toLowerCase().includes(named));
  if (sorting.key) rows.sort(compared);
  for (const header of find("table").querySelectorAll("th")) {
    if (header.dataset.key === sorting.key) header.setAttribute("aria-sort", sorting.up ? "ascending" : "descending");
    else header.removeAttribute("aria-sort");
  }
  find("table").classList.toggle("unplaced", items.every((item) => value(item, "position") === null));
  refill(find("table").tBodies[0], rows.map((item) => row(item, choose)));
  find("none").hidden = rows.length > 0;
  markChosen(current);
}

/** Show which item is the chosen one. */
export function markChosen(chosen) {
  current = chosen;
  for (const shown of find("table").tBodies[0].rows) {
    const is = Number(shown.dataset.index) === chosen?.index;
    shown.classList.toggle("chosen", is);
    if (is) shown.querySelector("button").setAttribute("aria-current", "true");
    else shown.querySelector("button").removeAttribute("aria-current");
  }
}

/** What a column sorts by; null where the item has none, which comes last either way. */
function value(item, key) {
  if (key === "name") return item.name;
  if (key === "answer") return ORDER.indexOf(answerOf(item));
  if (key === "distance") return item.novelty?.distance ?? null;
  return item[key] ?? null;
}

function compared(one, other) {
  const [a, b] = [value(one, sorting.key), value(other, sorting.key)];
  if (a === null || b === null) return (a === null) - (b === null);
  const order = typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b;
  return sorting.up ? order : -order;
}

function row(item, choose) {
  const number = (key, shown) => make("td", { class: "number", "data-key": key }, value(item, key) === null ? "–" : shown(value(item, key)));
  const button = make("button", { type: "button", class: "link" }, make("bdi", {}, item.name));
  button.addEventListener("click", () => choose(item));
  const answer = answerOf(item);
  return make("tr", { "data-index": item.index },
    make("th", { scope: "row" }, button),
    make("td", { class: "verdict", "data-answer": answer }, mark(answer), ANSWERS[answer]),
    number("suspicion", chance),
    number("position", (position) => signed(position, 1)),
    number("distance", (distance) => distance.toFixed(3)));
}

/**
 * All items as RFC 4180 text. A spreadsheet runs text that begins like a formula: an apostrophe keeps it text. Many part cells
 * at semicolons or tabs instead of commas: in quotes those part none.
 */
function csv(items) {
  const classes = Object.keys(items.find((item) => item.probabilities)?.probabilities ?? {});
  const cell = (content) => {
    if (typeof content === "number") return String(content);
    const text = String(content ?? "").replace(/^(?=[=+\-@\t\r])/, "'");
    return /[",;\t\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const header = ["file", "series", "position_mm", "answer", "headline", "suspicion", ...classes.map((name) => `probability ${name}`),
    "operating_point", "refer_from", "refer_to", "distance", "distance_limit", "model", "error"];
  const lines = items.map((item) => [item.name, item.series, item.position, answerOf(item), item.headline, item.suspicion,
    ...classes.map((name) => item.probabilities?.[name]),
    item.operating_point?.threshold, item.operating_point?.low, item.operating_point?.high,
    item.novelty?.distance, item.novelty?.threshold, item.error ? "" : modelOf(item), item.error?.detail]);
  return [header, ...lines].map((line) => line.map(cell).join(",")).join("\r\n") + "\r\n";
}

function download(text) {
  // Excel reads UTF-8 only where the byte order mark says so.
  const address = URL.createObjectURL(new Blob(["\ufeff", text], { type: "text/csv" }));
  make("a", { href: address, download: "answers.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}
