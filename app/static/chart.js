// Suspicion along a series, drawn at the width that there is, so that its words keep their size.

import { chance, count, make, signed, unbroken } from "./dom.js";

const HEIGHT = 200;
const [LEFT, RIGHT, TOP, BOTTOM] = [50, 18, 10, 24];
const FEWEST = 3; // slices with a position that make a series

const redraws = new WeakMap(); // place of a chart to what draws it
const watched = new ResizeObserver((changes) => changes.forEach(({ target }) => redraws.get(target)()));

/** Draw into `figure`, or hide it where the slices have no positions. A click chooses the nearest slice. */
export function drawChart(figure, items, choose) {
  const placed = items.filter((item) => item.suspicion !== null && item.position !== null);
  placed.sort((one, other) => one.position - other.position);
  figure.hidden = placed.length < FEWEST || placed[0].position === placed.at(-1).position;
  const place = figure.querySelector("div");
  // What is not shown, or not any more, has no width.
  redraws.set(place, () => place.clientWidth && !figure.hidden && place.replaceChildren(chart(placed, place.clientWidth, choose, place)));
  redraws.get(place)();
  watched.observe(place);
}

function chart(placed, width, choose, place) {
  const chosen = place.querySelector("circle.chosen")?.dataset.index;
  const [from, to] = [placed[0].position, placed.at(-1).position];
  const x = (position) => LEFT + ((position - from) / (to - from)) * (width - LEFT - RIGHT);
  const y = (share) => TOP + (1 - share) * (HEIGHT - TOP - BOTTOM);
  const point = placed[0].operating_point;
  const line = (kind, y1) => make("line", { class: kind, x1: LEFT, x2: width - RIGHT, y1, y2: y1 });
  const words = (text, left, top, anchor) => make("text", { x: left, y: top, "text-anchor": anchor }, text);
  const top = placed.reduce((most, item) => (item.suspicion > most.suspicion ? item : most));
  const summary = `${count(placed.length, "slice")} from ${signed(from, 0)} to ${signed(to, 0)} mm; the most suspicious, `
    + `${chance(top.suspicion)}, at ${signed(top.position, 1)} mm. The table below holds every value.`;
  const drawn = make("svg", { width, height: HEIGHT, role: "img", "aria-label": summary },
    make("rect", { class: "band", x: LEFT, width: width - LEFT - RIGHT, y: y(point.high), height: Math.max(1, y(point.low) - y(point.high)) }),
    ...[0, 0.5, 1].flatMap((share) => [line("grid", y(share)), words(unbroken(`${100 * share} %`), LEFT - 8, y(share) + 4, "end")]),
    line("point", y(point.threshold)),
    ...ticks(from, to, Math.max(2, Math.floor(width / 110))).map((tick) => words(String(tick).replace("-", "\u2212"), x(tick), HEIGHT - 6, "middle")),
    make("polyline", { points: placed.map((item) => `${x(item.position)},${y(item.suspicion)}`).join(" ") }),
    ...placed.map((item) => make("circle", { cx: x(item.position), cy: y(item.suspicion), r: 4, "data-index": item.index,
      "data-answer": item.answer, class: String(item.index) === chosen ? "chosen" : "" })));
  drawn.addEventListener("click", (event) => {
    const clicked = event.clientX - drawn.getBoundingClientRect().left;
    const far = (item) => Math.abs(x(item.position) - clicked);
    choose(placed.reduce((near, item) => (far(item) < far(near) ? item : near)));
  });
  return drawn;
}

/** At most `most` + 1 round numbers within a range. */
function ticks(from, to, most) {
  const rough = (to - from) / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough);
  const found = [];
  for (let tick = Math.ceil(from / step) * step; tick <= to; tick += step) found.push(Number(tick.toFixed(6)));
  return found;
}
