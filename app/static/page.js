// Comfort only: the form works without this file.
"use strict";

const form = document.querySelector("form.upload");

if (form) {
  const input = form.querySelector("input[type=file]");
  const button = form.querySelector("button");
  const said = form.querySelector(".said");
  const limit = Number(form.dataset.maxBytes);
  const words = button.textContent;

  const check = () => {
    const [file] = input.files;
    const tooLarge = file && file.size > limit;
    const message = tooLarge
      ? `This file holds ${(file.size / 1048576).toFixed(1)} MiB; at most ${limit / 1048576} MiB can be sent. Choose a smaller picture.`
      : "";
    input.setCustomValidity(message);
    said.textContent = message;
  };

  // A file dropped beside the field would otherwise replace the page.
  let depth = 0;
  const over = (change) => {
    depth = Math.max(0, depth + change);
    form.classList.toggle("over", depth > 0);
  };
  addEventListener("dragenter", () => over(1));
  addEventListener("dragleave", () => over(-1));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    depth = 0;
    over(0);
    const { files } = event.dataTransfer;
    if (files.length > 1) {
      said.textContent = "Drop one slice at a time.";
    } else if (files.length === 1) {
      input.files = files;
      check();
    }
  });

  input.addEventListener("change", check);
  form.addEventListener("submit", () => {
    button.disabled = true;
    button.textContent = "Reading the slice…";
  });
  // The browser's back button may bring the page back as it was left.
  addEventListener("pageshow", () => {
    button.disabled = false;
    button.textContent = words;
  });
}
