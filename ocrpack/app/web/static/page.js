/* How the parts play together: files come in, are read in the queue, and one page at a time is on the desk. */

import { largestFile } from "./api.js";
import { openDoors } from "./doors.js";
import { $, dismiss, element, plural, say } from "./dom.js";
import { focusRow, markRow, stateOf, updateRow } from "./files.js";
import { chosenLanguages, startLanguages } from "./languages.js";
import { ownPicture, pictureOf } from "./picture.js";
import { Queue } from "./queue.js";
import { markSheet, showPicture, showSheet, startSheet } from "./sheet.js";
import { startTaking } from "./take.js";
import { markText, showText, startText } from "./text.js";
import { percent, wordsOf } from "./words.js";

const queue = new Queue();
let current = null; // the entry on the desk
let words = []; // of the page on the desk
let onDesk = ""; // entry, state and page, so that the desk is laid once for each

function take(files) {
  dismiss();
  const first = !queue.entries.length;
  const [entry] = queue.add(files, chosenLanguages());
  if (first || current.state === "done" || current.state === "failed") pick(entry);
  if (first) focusRow(entry);
}

function pick(entry) {
  current = entry;
  markRow(entry);
  lay();
}

function remove(entry) {
  const place = queue.entries.indexOf(entry);
  queue.remove(entry);
  if (entry === current) pick(queue.entries[Math.min(place, queue.entries.length - 1)] ?? null);
  if (current) focusRow(current);
  else $("choose").focus();
}

/* Lays on the desk what there is of the current entry. */
function lay() {
  $("welcome").hidden = Boolean(current);
  $("desk").hidden = !current;
  document.body.classList.toggle("working", Boolean(current));
  if (!current) {
    onDesk = "";
    return;
  }
  const { id, state, at, done, total } = current;
  const [ready, failed] = [state === "done", state === "failed"];
  const key = `${id} ${ready || failed ? state : "reading"} ${at}`;
  if (!ready && !failed) {
    $("wait-label").textContent = `${stateOf(current)} …`;
    if (total) Object.assign($("wait-bar"), { max: total, value: done });
    else $("wait-bar").removeAttribute("value");
  }
  if (key === onDesk) return;
  onDesk = key;
  $("viewer-title").textContent = current.name;
  $("failed").hidden = !failed;
  for (const part of ["viewer", "reader"]) $(part).hidden = failed;
  for (const part of ["text", "tools", "copying", "formats", "legend"]) $(part).hidden = !ready;
  $("wait").hidden = ready;
  if (failed) layProblem();
  else if (ready) layPage(key);
  else layWait(key);
}

function layProblem() {
  $("failed-name").textContent = current.name;
  $("failed-title").textContent = current.problem.title;
  $("failed-detail").textContent = current.problem.detail;
}

async function layWait(key) {
  words = [];
  $("doubts").hidden = $("pager").hidden = true;
  $("facts").textContent = "";
  $("warnings").replaceChildren();
  showSheet(null, words);
  const own = await ownPicture(current);
  if (!own || key !== onDesk) return;
  showSheet(own, words);
  showPicture(own.url, current.name);
}

async function layPage(key) {
  const { answer, at, name } = current;
  const { pages, timings, warnings } = answer;
  const page = pages[at];
  words = wordsOf(page);
  showSheet(page, words);
  showText(page, words);
  $("blind").hidden = true;
  $("facts").textContent =
    `${page.width} × ${page.height} px, ${plural(words.length, "word")}, ${timings.total.toFixed(1)} s`;
  $("warnings").replaceChildren(...warnings.map((warning) => element("li", {}, warning)));
  $("copy-page").hidden = $("pager").hidden = pages.length < 2;
  $("page").replaceChildren(
    ...pages.map((_, index) => new Option(`${index + 1} of ${pages.length}`, index, false, index === at)),
  );
  $("page-previous").disabled = at === 0;
  $("page-next").disabled = at === pages.length - 1;
  const url = await pictureOf(current, page);
  if (key !== onDesk) return;
  if (url) showPicture(url, pages.length > 1 ? `${name}, page ${at + 1}` : name);
  $("blind").hidden = Boolean(url);
}

/* Goes to another page of the current entry; tells whether there is one. */
function turnTo(index) {
  const last = (current?.answer?.pages.length ?? 0) - 1;
  if (index < 0 || index > last) return false;
  current.at = index;
  lay();
  say(`Page ${index + 1} of ${last + 1}, ${plural(words.length, "word")}`);
  return true;
}

/* Lights a word up on the picture and in the text; `how` says where to bring it into view, and whether to say it. */
function light(index, how = {}) {
  markSheet(index, how);
  markText(index, how);
  const word = words[index];
  if (how.aloud && word) say(`${word.text}, ${percent(word)}`);
}

queue.addEventListener("change", ({ detail: entry }) => {
  updateRow(entry, queue.entries, { pick, remove });
  if (entry === current) lay();
  if (entry.state === "done") say(`${entry.name} is read: ${stateOf(entry)}`);
  if (entry.state === "failed" && entry !== current) say(`${entry.name} failed: ${entry.problem.title}`);
});

const again = () => queue.again(current, chosenLanguages());
startSheet({ light, turn: (by) => turnTo(current?.at + by) });
startText({ light });
startTaking(() => current);
startLanguages(() => current && again());
openDoors(take);
$("retry").addEventListener("click", again);
$("notice-close").addEventListener("click", dismiss);
$("page").addEventListener("change", ({ target }) => turnTo(Number(target.value)));
$("page-previous").addEventListener("click", () => turnTo(current.at - 1));
$("page-next").addEventListener("click", () => turnTo(current.at + 1));
$("origin").textContent = new URL(".", location).href;
addEventListener("pagehide", ({ persisted }) => persisted || queue.entries.forEach(({ control }) => control?.abort()));
largestFile().then((limit) => {
  queue.limit = limit;
  if (limit) $("limit").textContent = `, up to ${limit.megabytes} MB each`;
});
