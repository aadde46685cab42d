/* The list of files: what each is called, how it goes with it, and which one is looked at. */

import { $, element, plural } from "./dom.js";
import { drawThumb, ownPicture, pictureOf } from "./picture.js";

const rows = new Map();

/* Brings the row of an entry up to date; `pick` and `remove` are called with the entry. */
export function updateRow(entry, entries, { pick, remove }) {
  if (!entries.includes(entry)) {
    rows.get(entry)?.item.remove();
    rows.delete(entry);
    return;
  }
  if (!rows.has(entry)) rows.set(entry, makeRow(entry, pick, remove));
  const row = rows.get(entry);
  const over = entry.state === "done" || entry.state === "failed";
  row.item.dataset.state = entry.state;
  row.state.textContent = stateOf(entry);
  row.remove.setAttribute("aria-label", `${over ? "Remove" : "Cancel"} ${entry.name}`);
  row.bar.hidden = entry.state !== "reading";
  if (entry.total) Object.assign(row.bar, { max: entry.total, value: entry.done });
  else row.bar.removeAttribute("value");
  if (entry.state === "done" && !row.drawn) draw(row, pictureOf(entry, entry.answer.pages[0]));
}

/* Marks the row of the entry that is looked at. */
export function markRow(entry) {
  for (const [other, { item, pick }] of rows) {
    if (other === entry) {
      pick.setAttribute("aria-current", "true");
      item.scrollIntoView({ block: "nearest", inline: "nearest" });
    } else pick.removeAttribute("aria-current");
  }
}

export function focusRow(entry) {
  rows.get(entry).pick.focus();
}

/* Says how it goes with an entry, in a few words. */
export function stateOf(entry) {
  const { state, busy, done, total, answer, problem } = entry;
  if (state === "waiting") return "Waiting";
  if (state === "failed") return problem.title;
  if (state === "done") {
    const pages = answer.pages.length;
    return `${pages > 1 ? `${plural(pages, "page")}, ` : ""}${plural(entry.words, "word")}`;
  }
  if (busy) return "Waiting for the server";
  return total ? `Reading page ${Math.min(done + 1, total)} of ${total}` : "Reading";
}

function makeRow(entry, onPick, onRemove) {
  const kind = /\.([a-z]{2,4})$/i.exec(entry.name)?.[1].toUpperCase() ?? "";
  const thumb = element("span", { className: "thumb" }, element("span", {}, kind));
  thumb.setAttribute("aria-hidden", "true");
  const state = element("span", { className: "state" });
  const words = element(
    "span",
    { className: "words" },
    element("span", { className: "name", title: entry.name }, entry.name),
    state,
  );
  const bar = element("progress");
  bar.setAttribute("aria-label", `Progress of ${entry.name}`);
  const pick = element("button", { type: "button", className: "pick", onclick: () => onPick(entry) }, thumb, words);
  const remove = element("button", {
    type: "button",
    className: "remove",
    textContent: "×",
    onclick: () => onRemove(entry),
  });
  const item = element("li", {}, pick, remove, bar);
  $("list").append(item);
  const row = { item, pick, remove, state, bar, thumb, drawn: false };
  draw(
    row,
    ownPicture(entry).then((own) => own?.url),
  );
  return row;
}

async function draw(row, picture) {
  const url = await picture;
  if (!url || row.drawn) return;
  row.drawn = true;
  const canvas = element("canvas");
  await drawThumb(canvas, url).then(
    () => row.thumb.replaceChildren(canvas),
    () => {},
  );
}
