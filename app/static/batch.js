// Several slices: tally, table, and for each series a strip and a chart. The one chosen anywhere is shown by `choose`.

import { ANSWERS, answerOf, chance, count, find, make, mark, refill } from "./dom.js";
import { drawChart } from "./chart.js";
import * as table from "./table.js";

const sections = new Map(); // of the groups drawn, which stay as they are scrolled while answers come in

/** Most suspicious first; what was refused or not judged comes last. */
export const bySuspicion = (one, other) => rank(other) - rank(one) || one.index - other.index;
const rank = (item) => (item.error ? -2 : (item.suspicion ?? -1));

/** Wire the controls once. `items()` gives all items, `choose(item)` shows one. */
export function wire(items, choose) {
  table.wire(items, choose);
  find("groups").addEventListener("keydown", (event) => {
    const options = [...(event.target.closest("[role=listbox]")?.children ?? [])];
    const here = options.indexOf(event.target);
    const target = { ArrowLeft: here - 1, ArrowRight: here + 1, Home: 0, End: options.length - 1 }[event.key];
    if (!options[target]) return;
    event.preventDefault();
    options[target].focus();
    options[target].click();
  });
}

/** Draw everything anew. */
export function draw(items, chosen, choose) {
  find("batch").hidden = items.length < 2;
  const groups = items.length < 2 ? new Map() : grouped(items.filter((item) => !item.error));
  for (const [key, section] of sections) {
    if (groups.has(key)) continue;
    section.remove();
    sections.delete(key);
  }
  if (items.length < 2) return;
  find("batch-title").textContent = count(items.length, "slice");
  find("tally").replaceChildren(...Object.keys(ANSWERS).map((answer) => tallied(items, answer)).filter(Boolean));
  [...groups].forEach(([key, members], index) => {
    const name = key ? `Series ${index + 1}: ${count(members.length, "slice")}` : "Other slices";
    drawGroup(key, index, groups.size > 1 ? `${name}, most suspicious first` : "Most suspicious first", members, choose);
  });
  table.draw(items, choose);
  markChosen(chosen);
}

/** Show which item is the chosen one, wherever it occurs. */
export function markChosen(chosen) {
  table.markChosen(chosen);
  for (const element of find("groups").querySelectorAll("[data-index]")) {
    const is = Number(element.dataset.index) === chosen?.index;
    element.classList.toggle("chosen", is);
    if (element.matches("[role=option]")) element.setAttribute("aria-selected", is);
  }
  // One stop of the tab key for each strip.
  for (const strip of find("groups").querySelectorAll("[role=listbox]")) {
    const stop = strip.querySelector(".chosen") ?? strip.firstElementChild;
    for (const option of strip.children) option.tabIndex = option === stop ? 0 : -1;
  }
}

/** Items by series, in the order in which they came; last, under "", those that are alone or of no series. */
function grouped(items) {
  const found = new Map();
  for (const item of items) found.set(item.series, [...(found.get(item.series) ?? []), item]);
  const others = items.filter((item) => !item.series || found.get(item.series).length < 2);
  const series = [...found].filter(([key, members]) => key && members.length > 1);
  return new Map(others.length ? [...series, ["", others]] : series);
}

function drawGroup(key, place, title, items, choose) {
  if (!sections.has(key)) sections.set(key, find("group").content.firstElementChild.cloneNode(true));
  const section = sections.get(key);
  const strip = section.querySelector(".strip");
  const here = find("groups").children[place] ?? null;
  if (here !== section) find("groups").insertBefore(section, here);
  section.querySelector("h3").textContent = title;
  strip.setAttribute("aria-label", title);
  refill(strip, [...items].sort(bySuspicion).map((item) => thumb(item, choose)));
  drawChart(section.querySelector("figure"), key ? items : [], choose);
}

function tallied(items, answer) {
  const number = items.filter((item) => answerOf(item) === answer).length;
  return number ? make("li", { "data-answer": answer }, mark(answer), `${number} ${ANSWERS[answer]}`) : null;
}

function thumb(item, choose) {
  const value = item.suspicion === null ? "" : chance(item.suspicion);
  const option = make("div", { role: "option", tabindex: -1, "data-index": item.index, "data-answer": item.answer,
    "aria-label": `${item.name}: ${ANSWERS[item.answer]}${value && `, suspicion ${value}`}` },
    make("img", { src: item.images.slice, alt: "", width: 104, height: 104, loading: "lazy" }),
    make("span", {}, mark(item.answer), value || ANSWERS[item.answer]));
  option.addEventListener("click", () => choose(item));
  return option;
}
