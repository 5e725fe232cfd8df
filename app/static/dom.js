// Small tools for the other modules.

export const find = (id) => document.getElementById(id);

/** Say something to a screen reader. */
export const say = (words) => { find("said").textContent = words; };

const SVG = "http://www.w3.org/2000/svg";
const SVG_TAGS = new Set(["svg", "g", "use", "rect", "line", "path", "circle", "text", "polyline"]);

/** An element with attributes (undefined and false leave one out) and children, text or elements. */
export function make(tag, attributes = {}, ...children) {
  const made = SVG_TAGS.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

export const mark = (answer) =>
  make("svg", { class: "mark", "aria-hidden": "true", focusable: "false" }, make("use", { href: `#mark-${answer}` }));

/** Text in which no line ends between a number and its unit. */
export const unbroken = (text) => text.replaceAll(" %", "\u00a0%").replaceAll(" mm", "\u00a0mm");

/** A share, never 0 or 100 per cent unless it is exactly that. The same as `percent` in wording.py. */
export function percent(share) {
  const shown = (100 * share).toFixed(1);
  if (shown === "0.0" && share > 0) return unbroken("under 0.1 %");
  if (shown === "100.0" && share < 1) return unbroken("over 99.9 %");
  return unbroken(`${shown} %`);
}

/** What a model calls certain is not shown as certain. The same as `chance` in wording.py. */
export const chance = (probability) => percent(Math.min(Math.max(probability, 1e-12), 1 - 1e-12));

/** A number with a true minus sign. */
export const signed = (number, digits) => number.toFixed(digits).replace("-", "\u2212");

export const plain = (name) => name.replaceAll("_", " ");

export const count = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;

export const ANSWERS = {
  suspected: "suspected",
  uncertain: "uncertain",
  clear: "no sign",
  refused: "refused",
  late: "not judged",
  error: "not read",
};

/** One of the keys of `ANSWERS`; late is what the server had no time for, or failed on: another time it may not. */
export const answerOf = (item) => (item.error ? (item.error.status >= 500 ? "late" : "error") : item.answer);

/** The model that answered, in words: its digest tells it from others of the same version and day. */
export const modelOf = ({ model }) =>
  [model.version || "of no stated version", model.precision, model.created.slice(0, 10), model.digest.slice(0, 12)].filter(Boolean).join(", ");

/** Fill `place` anew with elements of items, and give the focus back to that of the item that had it. */
export function refill(place, elements) {
  const index = place.contains(document.activeElement) && document.activeElement.closest("[data-index]")?.dataset.index;
  place.replaceChildren(...elements);
  const again = index && place.querySelector(`[data-index="${index}"]`);
  if (again) (again.querySelector("button") ?? again).focus({ preventScroll: true });
}
