// How files come in: picked, dropped (folders too) or pasted.

const NOT_SLICES = /^(\.|dicomdir$|thumbs\.db$|desktop\.ini$)/i;

const FIX = "Choose the slices themselves, as PNG, JPEG, DICOM or zip.";

/** Call `take` with the files of every pick, drop and paste, in the order of their names, or `refuse` with a headline and a fix. */
export function listen(form, take, refuse) {
  const hand = (files) => {
    const slices = files.filter((file) => !NOT_SLICES.test(file.name));
    slices.sort((one, other) => one.name.localeCompare(other.name, "en", { numeric: true }));
    if (slices.length) take(slices);
    else refuse("No slice was chosen", FIX);
  };
  for (const input of form.querySelectorAll("input[type=file]")) {
    input.addEventListener("change", () => {
      if (input.files.length) hand([...input.files]);
      input.value = ""; // so that the same file can be chosen again
    });
  }
  let depth = 0; // of the elements that the pointer has entered while dragging
  const show = (now) => {
    depth = Math.max(0, now);
    document.body.classList.toggle("dragging", depth > 0);
  };
  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragenter", (event) => carriesFiles(event) && show(depth + 1));
  addEventListener("dragleave", (event) => carriesFiles(event) && show(depth - 1));
  addEventListener("dragover", (event) => carriesFiles(event) && event.preventDefault());
  addEventListener("drop", (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    show(0);
    dropped(event.dataTransfer).then(hand, () => refuse("The folder cannot be read", FIX));
  });
  addEventListener("paste", (event) => {
    if (event.clipboardData?.files.length) hand([...event.clipboardData.files]);
  });
}

function dropped(transfer) {
  // Both must be read before the event is over.
  const files = [...transfer.files];
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.some((entry) => entry.isDirectory)) return Promise.resolve(files);
  return Promise.all(entries.map(walk)).then((found) => found.flat());
}

async function walk(entry) {
  if (entry.isFile) return [await new Promise((done, fail) => entry.file(done, fail))];
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    // A folder is read in portions; an empty one is the last.
    const portion = await new Promise((done, fail) => reader.readEntries(done, fail));
    if (!portion.length) return found;
    for (const inner of portion) found.push(...(await walk(inner)));
  }
}
