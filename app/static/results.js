// One slice's answer: fills in a copy of the markup that the server writes for the page without scripts.

import { chance, find, make, modelOf, percent, plain, signed, unbroken } from "./dom.js";

/** Show one item in `place`, in place of what is there. */
export function show(item, place, headlines) {
  const copy = find(item.error ? "failure" : "result").content.cloneNode(true);
  const article = copy.querySelector("article");
  const slot = (name) => article.querySelector(`[data-slot=${name}]`);
  slot("name").textContent = item.name;
  if (item.error) {
    slot("headline").textContent = headlines[item.error.status] ?? "This file cannot be used";
    slot("detail").textContent = item.error.detail;
  } else {
    fill(item, article, slot);
  }
  place.replaceChildren(copy);
  if (!item.error) enliven(article);
}

/** Let the slider of an answer fade its evidence. The server's own markup keeps it hidden: it needs a script. */
export function enliven(article) {
  const overlay = article.querySelector(".overlay");
  const fade = article.querySelector(".fade");
  const [slider, output] = [fade.querySelector("input"), fade.querySelector("output")];
  fade.hidden = overlay.hidden;
  slider.value = shownEvidence;
  const apply = () => {
    shownEvidence = slider.value;
    overlay.style.opacity = slider.value / 100;
    output.textContent = unbroken(`${slider.value} %`);
  };
  slider.addEventListener("input", apply);
  apply();
}

let shownEvidence = 80; // per cent; kept from one slice to the next

const at = (share) => `${(100 * share).toFixed(2)}%`;
const set = (element, attributes) => {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
};

function fill(item, article, slot) {
  const { operating_point: point, novelty, images } = item;
  const unsure = item.suspicion === null;
  article.dataset.answer = item.answer;
  article.querySelector(".mark use").setAttribute("href", `#mark-${item.answer}`);
  slot("headline").textContent = plain(item.headline);
  slot("sentence").textContent = unbroken(item.sentence);
  slot("model").textContent = modelOf(item);
  slot("position").textContent = item.position === null ? "" : unbroken(`${signed(item.position, 1)} mm`);
  slot("position").hidden = item.position === null;

  slot("slice").src = images.slice;
  if (images.evidence) slot("evidence").src = images.evidence;
  slot("evidence").hidden = slot("legend").hidden = !images.evidence;
  slot("class").textContent = plain(images.class ?? "");

  slot("gauge").hidden = unsure;
  if (!unsure) {
    const suspicion = chance(item.suspicion);
    const [threshold, low, high] = [point.threshold, point.low, point.high].map(percent);
    slot("suspicion").textContent = suspicion;
    slot("threshold").textContent = threshold;
    slot("band").textContent = `${low} to ${high}`;
    slot("negative").textContent = plain(point.negative);
    const scale = slot("gauge").querySelector(".scale");
    const words = `Suspicion ${suspicion} on a scale from 0 to 100\u00a0%; operating point ${threshold}, referred from ${low} to ${high}.`;
    set(scale, { "aria-label": words });
    set(scale.querySelector(".band"), { x: at(point.low), width: at(point.high - point.low) });
    set(scale.querySelector(".point"), { x1: at(point.threshold), x2: at(point.threshold) });
    set(scale.querySelector(".marker"), { cx: at(item.suspicion) });
  }
  const classes = Object.entries(item.probabilities ?? {}).sort((one, other) => other[1] - one[1]);
  slot("classes").hidden = unsure || classes.length < 3;
  slot("classes").querySelector("dl").replaceChildren(...classes.map(scoreRow));

  slot("novelty").hidden = novelty.distance === null;
  if (novelty.distance === null) return;
  const reach = Math.max(1.5 * novelty.threshold, 1.1 * novelty.distance);
  const [distance, limit] = [novelty.distance, novelty.threshold].map((value) => value.toFixed(3));
  slot("distance").textContent = distance;
  slot("limit").textContent = limit;
  const scale = slot("novelty").querySelector(".scale");
  set(scale, { "aria-label": `Distance ${distance}; slices are refused above ${limit}.` });
  set(scale.querySelector(".point"), { x1: at(novelty.threshold / reach), x2: at(novelty.threshold / reach) });
  set(scale.querySelector(".marker"), { cx: at(novelty.distance / reach) });
}

function scoreRow([name, share]) {
  const bar = (kind, width) => make("rect", { class: kind, width, height: 6, rx: 3 });
  return make("div", {},
    make("dt", {}, plain(name)),
    make("dd", {}, chance(share)),
    make("dd", { class: "bar", "aria-hidden": "true" },
      make("svg", { width: "100%", height: 6, focusable: "false" }, bar("track", "100%"), bar("fill", at(share)))));
}
