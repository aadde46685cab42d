/* The bearer token: asked for once, kept for as long as the tab is open. */

import { $ } from "./dom.js";

const KEY = "ocr-token";
let current = null;
let asking = null;

try {
  current = sessionStorage.getItem(KEY);
} catch {
  // storage is switched off: the token lasts until the page is left
}

export const token = () => current;

/* Returns another token than `used`, which the server did not take, or null where the person declines. */
export async function otherToken(used) {
  if (asking) return asking;
  if (current !== used) return current;
  asking = ask(used !== null).finally(() => (asking = null));
  return asking;
}

function ask(refused) {
  const dialog = $("token-dialog");
  const field = $("token");
  $("token-wrong").hidden = !refused;
  field.value = "";
  field.setAttribute("aria-invalid", String(refused));
  dialog.returnValue = "";
  dialog.showModal();
  field.focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue ? keep(field.value.trim()) : null), {
      once: true,
    });
  });
}

function keep(value) {
  current = value;
  $("token").value = "";
  try {
    sessionStorage.setItem(KEY, value);
  } catch {
    // see above
  }
  return value;
}

$("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  if ($("token").value.trim()) $("token-dialog").close("given");
});
$("token-cancel").addEventListener("click", () => $("token-dialog").close());
