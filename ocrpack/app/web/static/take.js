/* What a person takes away: the text on the clipboard, or the answer as a file of any format. */

import { read, render } from "./api.js";
import { $, element, notice, say } from "./dom.js";

/* `current()` returns the entry that is looked at. */
export function startTaking(current) {
  $("copy").addEventListener("click", ({ currentTarget }) => copy(currentTarget, current().answer.text));
  $("copy-page").addEventListener("click", ({ currentTarget }) => {
    const { answer, at } = current();
    copy(currentTarget, answer.pages[at].text);
  });
  for (const button of $("formats").querySelectorAll("button")) {
    button.addEventListener("click", () => download(button, current()));
  }
}

async function copy(button, text) {
  button.dataset.label ??= button.textContent;
  let result = "Copied";
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Browsers keep the clipboard from pages that came over plain HTTP; the old way is what is left.
    getSelection().selectAllChildren($("text"));
    if (!document.execCommand("copy")) result = "Selected: press Ctrl+C";
  }
  button.textContent = result;
  say(result);
  setTimeout(() => (button.textContent = button.dataset.label), 1600);
}

async function download(button, entry) {
  const { output, ending } = button.dataset;
  if (button.getAttribute("aria-busy") === "true") return;
  button.setAttribute("aria-busy", "true");
  try {
    save(await blobOf(entry, output), `${entry.name.replace(/\.[^.]+$/, "")}.${ending}`);
  } catch (error) {
    notice(error.title ?? "The file could not be made", error.detail ?? String(error));
  } finally {
    button.removeAttribute("aria-busy");
  }
}

/* A searchable PDF needs the pages' pictures, so the server reads the file once more for it. */
function blobOf({ file, answer, languages }, output) {
  if (output === "json") return new Blob([JSON.stringify(answer, null, 2)], { type: "application/json" });
  return output === "pdf" ? read(file, { languages, output }) : render(answer, output);
}

function save(blob, name) {
  const url = URL.createObjectURL(blob);
  element("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
