// The page's comfort: several files, progress, cancelling, answers in place. Without it the form works as a plain form.

import * as batch from "./batch.js";
import { answerOf, ANSWERS, count, find, say } from "./dom.js";
import { listen } from "./intake.js";
import { enliven, show } from "./results.js";
import { judged } from "./sending.js";

const form = document.querySelector("form.upload");
const headlines = JSON.parse(form.dataset.headlines);
const TOKEN = "The operator guards the answers with a token. Enter the one that you were given.";
const SILENCE = 10_000; // milliseconds that a screen reader hears nothing new while files are judged
const limits = { api: form.dataset.api, maxBytes: Number(form.dataset.maxBytes), maxFiles: Number(form.dataset.maxFiles) };

let items = []; // answers so far, in the order of the files
let sent = []; // all files, in their order
let rest = []; // those that are still to be sent
let chosen = null; // the item that is shown in full
let picked = false; // by the reader, who must not be led away from it
let running = null; // AbortController of what is being sent
let heard = 0; // when a screen reader was last told how far that is

document.documentElement.classList.add("scripted");
form.querySelector(".ways").hidden = false;
find("limits").textContent = find("limits").dataset.scripted; // files go a few at a time
find("file").required = false;
for (const article of document.querySelectorAll("#results article:not(.failed)")) enliven(article);

listen(form, begin, complain);
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
  sent = rest = files;
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
  heard = performance.now();
  try {
    for await (const part of judged(rest.slice(), limits, judgedBefore(), mine.signal, report)) {
      if (running !== mine) return;
      rest = rest.filter((file) => !part.files.includes(file));
      take(part);
    }
    finish();
  } catch (error) {
    if (running === mine) stop(error);
  }
}

function report({ wait, doing, from, to, share }) {
  const total = rest.length + (from - 1);
  const which = total === 1 ? "" : ` ${from === to ? from : `${from} to ${to}`} of ${total}`;
  const words = wait ? `${wait.replaceAll("`", "")} …` : `${doing}${which} …`;
  find("doing").textContent = words;
  if (!wait) find("progress").querySelector("progress").value = share;
  // That nothing happens is news; that something does is not, but for the length of the silence.
  if ((wait && words !== find("said").textContent) || performance.now() - heard > SILENCE) {
    say(words);
    heard = performance.now();
  }
}

function take({ files, items: answers, model }) {
  // Sent again, a file brings answers for what was not judged before; those given before stay as they are.
  const same = (one, other) => one.source === other?.source && one.slice === other?.slice;
  const isAnsweredNow = (item) => answerOf(item) === "late" || (item.error && answers.some((answer) => same(answer, item)));
  const kept = items.filter((item) => !files.includes(item.source) || !isAnsweredNow(item));
  const fresh = answers
    .map((answer) => ({ series: null, position: null, ...answer, model }))
    .filter((answer) => !kept.some((item) => same(item, answer)));
  items = inOrder([...kept, ...fresh]);
  items.forEach((item, index) => { item.index = index; });
  const reading = picked || find("results").contains(document.activeElement);
  choose((reading && items.find((item) => same(item, chosen))) || [...items].sort(batch.bySuspicion)[0]);
  batch.draw(items, chosen, pick);
  const models = items.map((item) => item.model).filter(Boolean);
  if (models.length) find("synthetic").hidden = !models.some((one) => one.synthetic);
  find("replaced").hidden = models.every((one) => one.digest === form.dataset.digest);
}

/** As sent; the slices of a series in a file stand together, by position, where the first of them is. */
function inOrder(all) {
  const first = new Map();
  const keys = new Map(all.map((item) => [item, item.series && item.position !== null ? item.series : item]));
  for (const item of all) first.set(keys.get(item), Math.min(item.slice ?? 0, first.get(keys.get(item)) ?? Infinity));
  const key = (item) => [sent.indexOf(item.source), first.get(keys.get(item)), item.position ?? 0];
  const differ = (one, other) => key(one).map((part, index) => part - key(other)[index]).find((difference) => difference) ?? 0;
  return all.sort(differ);
}

/** Of each file whose slices were not all judged, how many before the first that was not. */
function judgedBefore() {
  const before = new Map();
  for (const { source, slice } of items.filter((item) => answerOf(item) === "late")) {
    before.set(source, Math.min(slice ?? 0, before.get(source) ?? Infinity));
  }
  return before;
}

function finish() {
  const led = isLed();
  running = null;
  find("progress").hidden = true;
  find("upload").textContent = "Judge other slices";
  document.body.classList.add("answered");
  say(summary());
  const target = items.length > 1 ? find("batch-title") : find("results").querySelector("[data-slot=headline]");
  if (led) target.focus({ preventScroll: true });
  if (!picked) find(items.length > 1 ? "batch" : "results").scrollIntoView({ block: "nearest" });
  document.title = `${items.length > 1 ? count(items.length, "slice") : target.textContent} · Chest-CT slice classifier`;
  const late = items.filter((item) => answerOf(item) === "late");
  const over = items.length > 1 ? items.filter((item) => item.error?.status === 413) : [];
  if (!late.length && !over.length) return;
  rest = [...new Set(late.map((item) => item.source))];
  const reasons = [late[0]?.error.detail, over[0] && `${over[0].name}: ${over[0].error.detail}`];
  if (over.length > 1) reasons.push(`The table below shows ${over.length - 1} more.`);
  const again = late.length ? `Judge the other ${late.length} now` : "";
  complain("Not all slices were judged", reasons.filter(Boolean).join(" "), again);
}

/** Whether the focus is where the page put it, or nowhere: then it may be moved. */
function isLed() {
  const { activeElement } = document;
  return activeElement === find("cancel") || (activeElement === document.body && !picked);
}

function summary() {
  if (items.length === 1) return find("results").querySelector("[data-slot=headline]").textContent;
  const parts = Object.entries(ANSWERS).map(([answer, words]) => [items.filter((item) => answerOf(item) === answer).length, words]);
  const tally = parts.filter(([number]) => number).map((part) => part.join(" "));
  const judgedNow = items.filter((item) => answerOf(item) !== "late").length;
  return `${count(judgedNow, "slice")} judged: ${tally.join(", ")}.`;
}

function stop(error) {
  const led = isLed();
  running = null;
  find("progress").hidden = true;
  const again = rest.length && error.status !== 401 ? (items.length ? `Go on with the other ${rest.length}` : "Try again") : "";
  if (error.name === "AbortError") {
    complain("Cancelled", items.length ? `${count(items.length, "slice")} judged before.` : "Nothing was judged.", again);
  } else {
    const detail = error.status === undefined ? `The page failed: ${error.message}` : error.message;
    complain(headlines[error.status] ?? "Something went wrong", error.status === 401 ? TOKEN : detail, again);
  }
  document.querySelector("form.token").hidden = error.status !== 401;
  if (led) (error.status === 401 ? find("token") : find("again")).focus();
}

/** Say what went wrong, and offer to go on where `again` has words for it. */
function complain(headline, detail, again = "") {
  find("fault").querySelector("h2").textContent = headline;
  find("fault").querySelector("p").textContent = detail.replaceAll("`", "");
  find("fault").hidden = false;
  document.querySelector("form.token").hidden = true;
  find("again").hidden = !again;
  find("again").textContent = again;
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
