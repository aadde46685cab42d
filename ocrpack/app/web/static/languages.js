/* The languages to read in: none chosen means all that the model has. */

import { $ } from "./dom.js";

const boxes = () => [...document.querySelectorAll("#languages input")];

export const chosenLanguages = () =>
  boxes()
    .filter(({ checked }) => checked)
    .map(({ value }) => value);

/* Gives the codes their names; `again()` is called when the file on the desk is to be read once more. */
export function startLanguages(again) {
  const menu = $("languages");
  if (!menu) return;
  const names = new Intl.DisplayNames("en", { type: "language" });
  for (const box of boxes()) {
    box.nextElementSibling.textContent = nameOf(names, box.value);
    box.addEventListener("change", update);
  }
  $("again").addEventListener("click", () => {
    menu.open = false;
    again();
  });
  addEventListener("click", ({ target }) => menu.contains(target) || (menu.open = false));
  menu.addEventListener("keydown", ({ key }) => {
    if (key !== "Escape") return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });
  update();

  function update() {
    const chosen = chosenLanguages();
    const label = chosen.length ? chosen.map((code) => nameOf(names, code)).join(", ") : "All languages";
    $("language-label").textContent = label;
  }
}

/* Models call languages by codes of their own, such as chi_sim or eng. */
function nameOf(names, code) {
  try {
    return names.of(code);
  } catch {
    return code;
  }
}
