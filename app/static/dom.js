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

/** A share as people read it; what rounds to certainty is not shown as certainty. The same as `percent` in pages.py. */
export function percent(share) {
  if (share > 0.999) return "> 99.9%";
  if (share < 0.001) return "< 0.1%";
  return `${(100 * share).toFixed(1)}%`;
}

export const plain = (name) => name.replaceAll("_", " ");

export const count = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;

export const ANSWERS = {
  suspected: "suspected",
  uncertain: "uncertain",
  clear: "no sign",
  refused: "refused",
  error: "not read",
};

export const answerOf = (item) => (item.error ? "error" : item.answer);
