// The page's comfort: several files, progress, cancelling, answers in place. Without it the form works as a plain form.

import * as batch from "./batch.js";
import { answerOf, ANSWERS, count, find, say } from "./dom.js";
import { listen } from "./intake.js";
import { enliven, show } from "./results.js";
import { judged } from "./sending.js";

const form = document.querySelector("form.upload");
const headlines = JSON.parse(form.dataset.headlines);
const TOKEN = "The operator guards the answers with a token. Enter the one that you were given.";
const limits = { api: form.dataset.api, maxBytes: Number(form.dataset.maxBytes), maxFiles: Number(form.dataset.maxFiles) };

let items = []; // answers so far, in the order asked for
let rest = []; // files that are not answered yet
let chosen = null; // the item that is shown in full
let picked = false; // by the reader, who must not be led away from it
let running = null; // AbortController of what is being sent

document.documentElement.classList.add("scripted");
form.querySelector(".ways").hidden = false;
find("file").required = false;
for (const article of document.querySelectorAll("#results article:not(.failed)")) enliven(article);

listen(form, begin);
batch.wire(() => items, pick);
find("cancel").addEventListener("click", cancel);
find("again").addEventListener("click", goOn);
addEventListener("keydown", (event) => event.key === "Escape" && cancel());
document.querySelector("form.token").addEventListener("submit", (event) => {
  event.preventDefault();
  limits.token = find("token").value;
  goOn();
});
document.querySelector("form.samples").addEventListener("submit", async (event) => {
  event.preventDefault();
  const { value } = event.submitter;
  const address = event.submitter.querySelector("img").src;
  try {
    begin([new File([await (await fetch(address)).blob()], value)]);
  } catch {
    complain(headlines[0], "The sample could not be fetched. Check the connection, then choose it again.");
  }
});

/** Judge files, in place of whatever is shown or under way. */
function begin(files) {
  running?.abort();
  items = [];
  chosen = null;
  picked = false;
  rest = files;
  find("results").replaceChildren();
  document.body.classList.remove("answered");
  batch.draw(items, chosen, pick);
  goOn();
}

async function goOn() {
  const mine = new AbortController();
  running = mine;
  find("fault").hidden = true;
  find("progress").hidden = false;
  find("cancel").focus({ preventScroll: true });
  say(`Judging ${count(rest.length, "file")}.`);
  try {
    for await (const part of judged(rest.slice(), limits, mine.signal, report)) {
      if (running !== mine) return;
      rest = rest.slice(part.files.length);
      take(part);
    }
    finish();
  } catch (error) {
    if (running === mine) stop(error);
  }
}

function report({ doing, from, to, share }) {
  const total = rest.length + (from - 1);
  find("doing").textContent = total === 1 ? `${doing} …` : `${doing} ${from === to ? from : `${from} to ${to}`} of ${total} …`;
  find("progress").querySelector("progress").value = share;
}

function take(part) {
  const { version, precision, created } = part.model ?? {};
  const model = [version, precision, created?.slice(0, 10)].filter(Boolean).join(", ");
  items.push(...part.items.map((item, index) => ({ position: null, ...item, model, index: items.length + index })));
  if (!picked) choose([...items].sort(batch.bySuspicion)[0]);
  batch.draw(items, chosen, pick);
}

function finish() {
  running = null;
  find("progress").hidden = true;
  document.body.classList.add("answered");
  say(summary());
  const target = items.length > 1 ? find("batch-title") : find("results").querySelector("[data-slot=headline]");
  target.focus({ preventScroll: true });
  find(items.length > 1 ? "batch" : "results").scrollIntoView({ block: "nearest" });
  document.title = `${items.length > 1 ? count(items.length, "slice") : target.textContent} · Chest-CT slice classifier`;
}

function summary() {
  if (items.length === 1) return find("results").querySelector("[data-slot=headline]").textContent;
  const parts = Object.entries(ANSWERS).map(([answer, words]) => [items.filter((item) => answerOf(item) === answer).length, words]);
  return `${count(items.length, "slice")} judged: ${parts.filter(([number]) => number).map((part) => part.join(" ")).join(", ")}.`;
}

function stop(error) {
  running = null;
  find("progress").hidden = true;
  if (error.name === "AbortError") {
    complain("Cancelled", items.length ? `${count(items.length, "slice")} judged before.` : "Nothing was judged.");
  } else {
    const detail = error.status === undefined ? `The page failed: ${error.message}` : error.message;
    complain(headlines[error.status] ?? "Something went wrong", error.status === 401 ? TOKEN : detail.replaceAll("`", ""));
  }
  document.querySelector("form.token").hidden = error.status !== 401;
  find("again").hidden = !rest.length || error.status === 401;
  find("again").textContent = items.length ? `Go on with the other ${rest.length}` : "Try again";
}

function complain(headline, detail) {
  find("fault").querySelector("h2").textContent = headline;
  find("fault").querySelector("p").textContent = detail;
  find("fault").hidden = false;
  find("again").hidden = true;
}

function cancel() {
  running?.abort();
}

function pick(item) {
  picked = true;
  choose(item);
  const place = find("results").getBoundingClientRect();
  if (place.top < 0 || place.top > innerHeight / 2) find("results").scrollIntoView({ block: "start" });
}

function choose(item) {
  if (item === chosen) return;
  chosen = item;
  show(item, find("results"), headlines);
  batch.markChosen(item);
}
