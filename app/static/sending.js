// Files to answers: a few files to a request, so that progress is real and one failure costs little.

const AT_ONCE = 4;
const FORM_BYTES = 65_536; // room for what a form adds to its files
const PATIENCE = 5; // times that a busy server is asked again
const PASSING = [0, 401, 429, 502, 503, 504]; // what says nothing about the files: the same request may go well later
const TOO_LARGE = 413;
const UNUSABLE = 422;

/** Why no answer came: `status` 0 where the server was not reached. */
export class Problem extends Error {
  constructor(status, detail, retryAfter) {
    super(detail);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

/**
 * Send files and yield {files, items, model} for each request: which files are done, and what there is of them to show, each
 * item with its `source` among the files.
 *
 * A file that spoilt a request for all of it, or for which a request with others had no room, is sent once more by itself.
 * Of a file in `begun`, a Map, so many slices are left out: those that were judged before. Throws a Problem where the server
 * cannot be asked now, and an AbortError once `signal` says so. `report` is told
 * {doing, from, to, share}: what happens to which files, and the share of all that is done; or {wait}, why nothing happens.
 */
export async function* judged(files, { api, maxBytes, maxFiles, token }, begun, signal, report) {
  const most = maxBytes - FORM_BYTES;
  const all = bytes(files) || 1;
  const alone = (file) => isZip(file) || begun.get(file) > 0;
  const waiting = batches(files, alone, most, Math.min(AT_ONCE, maxFiles));
  let first = 0;
  let done = 0;
  for (let batch = waiting.shift(); batch; batch = waiting.shift()) {
    signal.throwIfAborted();
    const [start, before, weight] = [first, done, bytes(batch)];
    const tell = (doing, share) =>
      report({ doing, from: start + 1, to: start + batch.length, share: (before + weight * share) / all });
    let found;
    if (weight > most) {
      found = { items: batch.map((file) => tooLarge(file, maxBytes)), again: [] };
    } else {
      tell("Uploading", 0);
      found = await answered(batch, () => post(batch, begun.get(batch[0]) ?? 0, api, token, signal, tell), signal, report);
    }
    const { items, model, again } = found;
    waiting.unshift(...again.map((file) => [file]));
    const settled = batch.filter((file) => !again.includes(file));
    first += settled.length;
    done += bytes(settled);
    if (settled.length) yield { files: settled, items: items.filter((item) => !again.includes(item.source)), model };
  }
}

/** What became of one request: `again` are its files to be sent each by itself, the others have `items`. */
async function answered(batch, ask, signal, report) {
  const others = batch.length > 1;
  try {
    const { predictions, model } = await patiently(ask, signal, report);
    const items = predictions.map((answer) => ({ ...answer, source: batch[answer.file] }));
    const tight = new Set(items.filter((item) => item.error?.status === TOO_LARGE).map((item) => item.source));
    return { items, model, again: others ? [...tight] : [] };
  } catch (problem) {
    if (!(problem instanceof Problem) || PASSING.includes(problem.status)) throw problem;
    return { items: batch.map((file) => unusable(file, problem.status, problem.message)), again: others ? batch : [] };
  }
}

const bytes = (files) => files.reduce((sum, file) => sum + file.size, 0);

function batches(files, alone, maxBytes, maxFiles) {
  const found = [];
  for (const file of files) {
    const last = found.at(-1);
    // A zip is a batch already.
    const joins = last && last.length < maxFiles && bytes(last) + file.size <= maxBytes && ![...last, file].some(alone);
    if (joins) last.push(file);
    else found.push([file]);
  }
  return found;
}

const isZip = (file) => /\.zip$/i.test(file.name);

const unusable = (file, status, detail) => ({ name: file.name, file: 0, slice: null, source: file, error: { status, detail } });

function tooLarge(file, maxBytes) {
  const size = (file.size / 1048576).toFixed(1);
  const limit = `a little less than ${maxBytes / 1048576} MiB can be sent`;
  return unusable(file, TOO_LARGE, `This file holds ${size} MiB; ${limit}. Send its slices in smaller parts.`);
}

/** Ask again where the server says when. */
async function patiently(ask, signal, report) {
  for (let asked = 1; ; asked += 1) {
    try {
      return await ask();
    } catch (problem) {
      if (!problem.retryAfter || asked === PATIENCE) throw problem;
      report({ wait: `${problem.message} Asking again in ${problem.retryAfter} s` });
      await new Promise((done, fail) => {
        const timer = setTimeout(done, 1000 * problem.retryAfter);
        signal.addEventListener("abort", () => { clearTimeout(timer); fail(signal.reason); }, { once: true });
      });
    }
  }
}

/** One request. XMLHttpRequest, because fetch() does not tell how much has been uploaded. */
function post(files, skip, api, token, signal, tell) {
  return new Promise((answered, failed) => {
    const form = new FormData();
    for (const file of files) form.append("file", file, file.name);
    const request = new XMLHttpRequest();
    request.open("POST", `${api}?images=true&skip=${skip}`);
    request.responseType = "json";
    if (token) request.setRequestHeader("Authorization", `Bearer ${utf8(token)}`);
    request.upload.onprogress = (event) => event.lengthComputable && tell("Uploading", (0.5 * event.loaded) / event.total);
    request.upload.onload = () => tell("Computing", 0.5);
    request.onload = () => {
      const body = request.response;
      if (request.status === 200 && body) answered(body);
      else if (body?.errors?.length) answered({ predictions: body.errors.map((error, index) => named(error, index, files)) });
      else failed(problemOf(request));
    };
    request.onerror = async () => failed(
      (await areReadable(files))
        ? new Problem(0, "Check the connection and that the server runs, then go on.")
        : new Problem(UNUSABLE, "This file can no longer be read. Choose it again."));
    signal.addEventListener("abort", () => { request.abort(); failed(signal.reason); }, { once: true });
    request.send(form);
  });
}

function problemOf(request) {
  const retryAfter = Number(request.getResponseHeader("Retry-After")) || undefined;
  const unsaid = retryAfter ? "The server is busy." : `The server answered ${request.status} without a reason.`;
  return new Problem(request.status, request.response?.detail || unsaid, retryAfter);
}

/** Whether files are still as they were when they were chosen: a request that holds another fails as if there were no server. */
const areReadable = (files) =>
  Promise.all(files.map((file) => file.slice(0, 1).arrayBuffer())).then(() => true, () => false);

/** A header takes letters up to ÿ, each for one byte; the server reads the bytes as UTF-8. */
const utf8 = (text) => String.fromCharCode(...new TextEncoder().encode(text));

/** Where no file could be used the answer is a problem that holds one for each file, with or without its name. */
const named = (error, index, files) =>
  error.error ? error : {
    name: error.name ?? files[index]?.name ?? "", file: error.file ?? index, slice: error.slice ?? null, error };
