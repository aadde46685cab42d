/* The ways in: choosing, dropping, pasting, the camera, and the example. */

import { example } from "./api.js";
import { $, notice } from "./dom.js";

const ENDINGS = {
  "image/png": "png",
  "image/jpeg": "jpg",
  "image/webp": "webp",
  "image/tiff": "tif",
  "application/pdf": "pdf",
};

/* Calls `take(files)` for whatever comes in by any door. */
export function openDoors(take) {
  for (const input of [$("file"), $("shot")]) {
    input.addEventListener("change", () => {
      const files = [...input.files];
      input.value = ""; // so that choosing the same file again counts as a change
      if (files.length) take(files);
    });
  }
  document.querySelectorAll("[data-opens]").forEach((button) => {
    button.addEventListener("click", () => $(button.dataset.opens).click());
  });
  $("example")?.addEventListener("click", async () => {
    try {
      const blob = await example();
      take([new File([blob], `example.${ENDINGS[blob.type] ?? "image"}`, { type: blob.type })]);
    } catch (error) {
      notice(error.title ?? "The example cannot be had", error.detail ?? "Try an image of your own.");
    }
  });
  openToDrops(take);
  addEventListener("paste", (event) => {
    if (event.target.matches?.("input")) return;
    const files = [...event.clipboardData.files];
    if (files.length) take(files);
    else notice("There is no image on the clipboard", "Copy an image or take a screenshot first, then paste it here.");
  });
}

function openToDrops(take) {
  const over = (is) => document.body.classList.toggle("over", is);
  addEventListener("dragover", (event) => {
    event.preventDefault();
    over(event.dataTransfer.types.includes("Files"));
  });
  addEventListener("dragleave", ({ relatedTarget }) => relatedTarget || over(false));
  addEventListener("drop", (event) => {
    event.preventDefault();
    over(false);
    const files = [...event.dataTransfer.files];
    if (files.length) take(files);
    else notice("That was not a file", "Drop image files or PDFs from your computer, or choose some.");
  });
}
