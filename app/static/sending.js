// Files to answers: a few files to a request, so that progress is real and one failure costs little.

const AT_ONCE = 4;
const FORM_BYTES = 65_536; // room for what a form adds to its files
const PATIENCE = 5; // times that a busy server is asked again

/** Why no answer came: `status` 0 where the server was not reached. */
export class Problem extends Error {
  constructor(status, detail, retryAfter) {
    super(detail);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

/**
 * Send files and yield {files, items, model} for each request that was answered.
 *
 * Throws a Problem where a request as a whole was not, and an AbortError once `signal` says so. `report` is told
 * {doing, from, to, share}: what happens to which files, and the share of all that is done.
 */
export async function* judged(files, { api, maxBytes, maxFiles, token }, signal, report) {
  const all = bytes(files) || 1;
  let first = 0;
  let done = 0;
  for (const batch of batches(files, maxBytes, Math.min(AT_ONCE, maxFiles))) {
    signal.throwIfAborted();
    const weight = bytes(batch);
    const tell = (doing, share) =>
      report({ doing, from: first + 1, to: first + batch.length, share: (done + weight * share) / all });
    if (weight > maxBytes) {
      yield { files: batch, items: batch.map((file) => tooLarge(file, maxBytes)) };
    } else {
      tell("Uploading", 0);
      const body = await patiently(() => post(batch, api, token, signal, tell), signal, tell);
      yield { files: batch, items: body.predictions, model: body.model };
    }
    first += batch.length;
    done += weight;
  }
}

const bytes = (files) => files.reduce((sum, file) => sum + file.size, 0);

function* batches(files, maxBytes, maxFiles) {
  let batch = [];
  for (const file of files) {
    if (batch.length && (batch.length === maxFiles || bytes(batch) + file.size > maxBytes - FORM_BYTES)) {
      yield batch;
      batch = [];
    }
    batch.push(file);
  }
  if (batch.length) yield batch;
}

function tooLarge(file, maxBytes) {
  const size = (file.size / 1048576).toFixed(1);
  const detail = `This file holds ${size} MiB; at most ${maxBytes / 1048576} MiB can be sent. Send its slices in smaller parts.`;
  return { name: file.name, file: 0, error: { status: 413, detail } };
}

/** Ask again where the server says when. */
async function patiently(ask, signal, tell) {
  for (let asked = 1; ; asked += 1) {
    try {
      return await ask();
    } catch (problem) {
      if (!problem.retryAfter || asked === PATIENCE) throw problem;
      tell(`The server is busy; asking again in ${problem.retryAfter} s:`, 0);
      await new Promise((done, fail) => {
        const timer = setTimeout(done, 1000 * problem.retryAfter);
        signal.addEventListener("abort", () => { clearTimeout(timer); fail(signal.reason); }, { once: true });
      });
    }
  }
}

/** One request. XMLHttpRequest, because fetch() does not tell how much has been uploaded. */
function post(files, api, token, signal, tell) {
  return new Promise((answered, failed) => {
    const form = new FormData();
    for (const file of files) form.append("file", file, file.name);
    const request = new XMLHttpRequest();
    request.open("POST", `${api}?images=true`);
    request.responseType = "json";
    if (token) request.setRequestHeader("Authorization", `Bearer ${token}`);
    request.upload.onprogress = (event) => event.lengthComputable && tell("Uploading", (0.5 * event.loaded) / event.total);
    request.upload.onload = () => tell("Computing", 0.5);
    request.onload = () => {
      const body = request.response;
      if (request.status === 200 && body) answered(body);
      else if (body?.errors?.length) answered({ predictions: body.errors.map((error, index) => named(error, index, files)) });
      else failed(new Problem(request.status, body?.detail ?? `The server answered ${request.status} without a reason.`,
        Number(request.getResponseHeader("Retry-After")) || undefined));
    };
    request.onerror = () => failed(new Problem(0, "Check the connection and that the server runs, then go on."));
    signal.addEventListener("abort", () => { request.abort(); failed(signal.reason); }, { once: true });
    request.send(form);
  });
}

/** Where no file could be used the answer is a problem that holds one for each file, with or without its name. */
const named = (error, index, files) =>
  error.error ? error : { name: error.name ?? files[index]?.name ?? "", file: error.file ?? index, error };
