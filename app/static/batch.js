// Several slices: tally, strip, table and CSV. The one that is chosen anywhere is shown by `choose`.

import { ANSWERS, answerOf, count, find, make, mark, percent } from "./dom.js";
import { drawChart } from "./chart.js";

const ORDER = Object.keys(ANSWERS);
const sorting = { key: "", up: true };
let current = null; // the item that is chosen

/** Most suspicious first; what was refused or not read comes last. */
export const bySuspicion = (one, other) => rank(other) - rank(one) || one.index - other.index;
const rank = (item) => (item.error ? -2 : item.answer === "refused" ? -1 : item.suspicion);

/** Wire the controls once. `items()` gives all items, `choose(item)` shows one. */
export function wire(items, choose) {
  const redraw = () => drawTable(items(), choose);
  find("tools").addEventListener("input", redraw);
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
  find("strip").addEventListener("keydown", (event) => {
    const options = [...find("strip").children];
    const here = options.indexOf(document.activeElement);
    const target = { ArrowLeft: here - 1, ArrowRight: here + 1, Home: 0, End: options.length - 1 }[event.key];
    if (target === undefined || !options[target]) return;
    event.preventDefault();
    options[target].focus();
    options[target].click();
  });
}

/** Draw everything anew. */
export function draw(items, chosen, choose) {
  find("batch").hidden = items.length < 2;
  if (items.length < 2) return;
  find("batch-title").textContent = count(items.length, "slice");
  find("tally").replaceChildren(...ORDER.map((answer) => tallied(items, answer)).filter(Boolean));
  find("strip").replaceChildren(...[...items].filter((item) => item.images).sort(bySuspicion).map((item) => thumb(item, choose)));
  find("strip-title").hidden = find("strip").hidden = !find("strip").childElementCount;
  drawChart(find("chart"), items, choose);
  current = chosen;
  drawTable(items, choose);
}

/** Show which item is the chosen one, wherever it occurs. */
export function markChosen(chosen) {
  current = chosen;
  for (const element of find("batch").querySelectorAll("[data-index]")) {
    const is = Number(element.dataset.index) === chosen?.index;
    element.classList.toggle("chosen", is);
    if (element.matches("[role=option]")) {
      element.setAttribute("aria-selected", is);
      element.tabIndex = is ? 0 : -1;
    }
  }
  const options = [...find("strip").children];
  if (options.length && !options.some((option) => option.tabIndex === 0)) options[0].tabIndex = 0;
}

function tallied(items, answer) {
  const number = items.filter((item) => answerOf(item) === answer).length;
  return number ? make("li", { "data-answer": answer }, answer === "error" ? "" : mark(answer), `${number} ${ANSWERS[answer]}`) : null;
}

function thumb(item, choose) {
  const value = item.answer === "refused" ? "refused" : percent(item.suspicion);
  const option = make("div", { role: "option", tabindex: -1, "data-index": item.index, "data-answer": item.answer, "aria-selected": "false",
    "aria-label": `${item.name}: ${ANSWERS[item.answer]}${item.answer === "refused" ? "" : `, suspicion ${value}`}` },
    make("img", { src: item.images.slice, alt: "", width: 88, height: 88, loading: "lazy" }),
    make("span", {}, mark(item.answer), value));
  option.addEventListener("click", () => choose(item));
  return option;
}

function drawTable(items, choose) {
  const wanted = find("wanted").value;
  const named = find("named").value.toLowerCase();
  const rows = items.filter((item) => (!wanted || answerOf(item) === wanted) && item.name.toLowerCase().includes(named));
  if (sorting.key) rows.sort(compared);
  for (const header of find("table").querySelectorAll("th")) {
    if (header.dataset.key === sorting.key) header.setAttribute("aria-sort", sorting.up ? "ascending" : "descending");
    else header.removeAttribute("aria-sort");
  }
  find("table").classList.toggle("unplaced", items.every((item) => value(item, "position") === null));
  find("table").tBodies[0].replaceChildren(...rows.map((item) => row(item, choose)));
  find("none").hidden = rows.length > 0;
  markChosen(current);
}

/** What a column sorts by; null where the item has none, which comes last either way. */
function value(item, key) {
  if (key === "name") return item.name;
  if (key === "answer") return ORDER.indexOf(answerOf(item));
  if (key === "distance") return item.novelty?.distance ?? null;
  if (key === "suspicion") return item.error || item.answer === "refused" ? null : item.suspicion;
  return item.position ?? null;
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
    number("position", (position) => position.toFixed(1)),
    make("td", { class: "verdict", "data-answer": answer }, answer === "error" ? "" : mark(answer), ANSWERS[answer]),
    number("suspicion", percent),
    number("distance", (distance) => distance.toFixed(3)));
}

/** All items as RFC 4180 text. A spreadsheet runs text that begins like a formula: an apostrophe keeps it text. */
export function csv(items) {
  const judged = items.find((item) => item.probabilities);
  const classes = Object.keys(judged?.probabilities ?? {});
  const cell = (content) => {
    if (typeof content === "number") return String(content);
    const text = String(content ?? "").replace(/^(?=[=+\-@\t\r])/, "'");
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const header = ["file", "position_mm", "answer", "headline", "suspicion", ...classes.map((name) => `probability ${name}`),
    "operating_point", "refer_from", "refer_to", "distance", "distance_limit", "model", "error"];
  const lines = items.map((item) => [item.name, item.position, answerOf(item), item.headline, value(item, "suspicion"),
    ...classes.map((name) => item.probabilities?.[name]),
    item.operating_point?.threshold, item.operating_point?.low, item.operating_point?.high,
    item.novelty?.distance, item.novelty?.threshold, item.model, item.error?.detail]);
  return [header, ...lines].map((line) => line.map(cell).join(",")).join("\r\n") + "\r\n";
}

function download(text) {
  // Excel reads UTF-8 only where the byte order mark says so.
  const address = URL.createObjectURL(new Blob(["\ufeff", text], { type: "text/csv" }));
  make("a", { href: address, download: "answers.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}
