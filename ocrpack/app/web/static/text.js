/* The text of a page, word by word, with what the engine doubts marked. */

import { $, element, reveal } from "./dom.js";

let spans = [];
let doubts = []; // indices of the words that are not sure
let lit = -1;

/* `light(index, how)` is called when a word is to light up everywhere. */
export function startText({ light }) {
  const indexOf = ({ target }) => Number(target.closest(".word")?.dataset.index ?? -1);
  $("text").addEventListener("pointerover", (event) => light(indexOf(event)));
  $("text").addEventListener("pointerleave", () => light(-1));
  $("text").addEventListener("click", (event) => light(indexOf(event), { image: true }));
  const step = (by) => {
    const next = by > 0 ? doubts.find((index) => index > lit) : doubts.findLast((index) => index < lit);
    const index = next ?? doubts.at(by > 0 ? 0 : -1);
    light(index, { image: true, text: true, aloud: true });
    spans[index].scrollIntoView({ block: "nearest" }); // where the text is too long for a box of its own
  };
  $("doubt-next").addEventListener("click", () => step(1));
  $("doubt-previous").addEventListener("click", () => step(-1));
}

export function showText(page, words) {
  spans = words.map(({ text, tone }, index) => {
    const span = element("span", { className: `word ${tone}` }, text);
    span.dataset.index = index;
    return span;
  });
  doubts = words.flatMap(({ tone }, index) => (tone === "sure" ? [] : [index]));
  lit = -1;
  const lines = page.lines.map(() => []);
  words.forEach(({ row }, index) => lines[row].push(...(lines[row].length ? [" "] : []), spans[index]));
  const blocks = paragraphs(page).map((rows) => {
    const parts = rows.flatMap((row, number) => (number ? [element("br"), ...lines[row]] : lines[row]));
    return element("p", { dir: "auto" }, ...parts);
  });
  const nothing = element("p", { className: "none" }, "No text was found on this page.");
  $("text").replaceChildren(...(blocks.length ? blocks : [nothing]));
  $("text").scrollTop = 0;
  $("doubts").hidden = !doubts.length;
  $("doubt-count").textContent = `${doubts.length} to check`;
}

/* Lights one word up, or none (-1); with `text`, brings it into view. */
export function markText(index, { text = false } = {}) {
  spans[lit]?.classList.remove("on");
  spans[index]?.classList.add("on");
  if (index >= 0) lit = index;
  if (text && spans[index]) reveal(spans[index], $("text"));
}

/* Returns the numbers of the lines in each paragraph; an engine's text need not follow its lines, then there is one. */
function paragraphs({ text, lines }) {
  const blocks = text.split(/\n\s*\n/).map((block) => block.split("\n").filter((row) => row.trim()).length);
  const fits = blocks.reduce((sum, rows) => sum + rows, 0) === lines.length;
  let next = 0;
  const numbers = (count) => Array.from({ length: count }, () => next++);
  return (fits ? blocks : [lines.length]).map(numbers).filter((rows) => rows.length);
}
