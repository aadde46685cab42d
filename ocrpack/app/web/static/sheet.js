/* The page's picture with a box around every word, and its text lying invisibly on it, there to be selected. */

import { $, element, reveal } from "./dom.js";
import { startSelecting } from "./select.js";
import { percent, wordAt, wordByKey } from "./words.js";

const TONES = ["sure", "unsure", "doubtful"];
const TYPE_SIZE = 20; // pixels; each word's matrix makes its box of it
const ZOOM = { step: 1.35, least: 1, most: 8 };
const ENLARGED = 2; // small pictures are not blown up further than so
const A4 = { width: 1000, height: 1414 };
const PAGE_KEYS = { PageDown: 1, PageUp: -1 };
const pen = element("canvas").getContext("2d");

let size = A4;
let words = [];
let at = -1;
let zoom = 1;
let scale = 1; // screen pixels for each of the page's

/*
 * `light(index, how)` is called when a word is to light up everywhere, `turn(by)` when another page is
 * wanted; it tells whether there is one.
 */
export function startSheet({ light, turn }) {
  const sheet = $("sheet");
  sheet.addEventListener("pointermove", (event) => {
    const found = event.buttons ? -1 : wordAt(words, ...locate(event));
    if (found !== at) light(found);
  });
  sheet.addEventListener("pointerleave", ({ pointerType }) => pointerType === "mouse" && light(-1));
  sheet.addEventListener("click", (event) => {
    if (getSelection().isCollapsed) light(wordAt(words, ...locate(event)), { text: true });
  });
  sheet.addEventListener("blur", () => light(-1));
  sheet.addEventListener("keydown", (event) => {
    const next = words.length ? wordByKey(words, at, event.key) : undefined;
    if (event.key === "Escape") light(-1);
    else if (event.key in PAGE_KEYS && turn(PAGE_KEYS[event.key])) sheet.focus();
    else if (event.key === "a" && (event.ctrlKey || event.metaKey)) getSelection().selectAllChildren($("layer"));
    else if (next !== undefined && !event.shiftKey && !event.altKey)
      light(next, { image: true, text: true, aloud: true });
    else return;
    event.preventDefault();
  });
  startSelecting(sheet, $("layer"), () => words, locate);
  new ResizeObserver(fit).observe($("scroller"));
  $("zoom-in").addEventListener("click", () => setZoom(zoom * ZOOM.step));
  $("zoom-out").addEventListener("click", () => setZoom(zoom / ZOOM.step));
  $("show-boxes").addEventListener("click", ({ currentTarget }) => {
    const hidden = $("sheet").classList.toggle("plain");
    currentTarget.setAttribute("aria-pressed", String(!hidden));
  });
}

/* Shows a page's words on blank paper until its picture comes; without words, a page that is being read. */
export function showSheet(page, found) {
  size = page ?? A4;
  words = found;
  at = -1;
  $("tip").hidden = true;
  $("image").hidden = true;
  $("sheet").classList.toggle("reading", !page?.lines);
  $("boxes").setAttribute("viewBox", `0 0 ${size.width} ${size.height}`);
  $("lit").setAttribute("points", "");
  for (const tone of TONES) {
    const outlines = words.filter((word) => word.tone === tone).map(({ corners }) => `M${corners.join("L")}Z`);
    $(`boxes-${tone}`).setAttribute("d", outlines.join(""));
  }
  layText();
  setZoom(1);
  $("scroller").scrollTop = 0;
}

/* Puts a picture under the boxes. */
export function showPicture(url, description) {
  $("image").src = url;
  $("image").alt = description;
  $("image").hidden = false;
}

/* Lights one word up with its tip, or none (-1); with `image`, brings it into view. */
export function markSheet(index, { image = false } = {}) {
  at = index;
  const word = words[index];
  $("lit").setAttribute("points", word ? word.corners.join(" ") : "");
  $("lit").setAttribute("class", word?.tone ?? "");
  $("tip").hidden = !word;
  if (!word) return;
  $("tip").replaceChildren(word.text, element("span", {}, percent(word)));
  if (image) reveal($("layer").children[index], $("scroller"));
  placeTip(word);
}

/* Lays one transparent element for each word so that it fills the word's box, turned as the box is. */
function layText() {
  pen.font = `${TYPE_SIZE}px sans-serif`;
  const parts = words.flatMap((word, index) => {
    const span = element("span", {}, word.text);
    const wide = pen.measureText(word.text).width || 1;
    const { along, down, start, height } = word;
    const numbers = [along[0] / wide, along[1] / wide, down[0] / TYPE_SIZE, down[1] / TYPE_SIZE, ...start];
    if (height) span.style.transform = `matrix(${numbers.join()})`;
    const next = words[index + 1];
    return next ? [span, next.row === word.row ? " " : "\n"] : [span];
  });
  const layer = $("layer");
  layer.style.width = `${size.width}px`;
  layer.style.height = `${size.height}px`;
  layer.replaceChildren(...parts);
}

/* Puts the tip above the word, or below where there is no room, and never beyond the sheet's sides. */
function placeTip({ bbox: [left, top, right, bottom] }) {
  const tip = $("tip");
  const above = top * scale - tip.offsetHeight - 8;
  const visible = $("scroller").scrollTop;
  const middle = ((left + right) / 2) * scale - tip.offsetWidth / 2;
  const widest = Math.max(0, size.width * scale - tip.offsetWidth);
  tip.style.left = `${Math.min(widest, Math.max(0, middle))}px`;
  tip.style.top = `${above >= visible ? above : bottom * scale + 8}px`;
}

function setZoom(wanted) {
  zoom = Math.min(ZOOM.most, Math.max(ZOOM.least, wanted));
  $("zoom-out").disabled = zoom <= ZOOM.least;
  $("zoom-in").disabled = zoom >= ZOOM.most;
  fit();
}

function fit() {
  const room = $("scroller").clientWidth;
  if (!room) return; // not shown yet
  scale = (Math.min(room, size.width * ENLARGED) * zoom) / size.width;
  $("sheet").style.width = `${size.width * scale}px`;
  $("sheet").style.height = `${size.height * scale}px`;
  $("layer").style.transform = `scale(${scale})`;
  if (words[at]) placeTip(words[at]);
}

/* Returns the page's pixel under the pointer. */
function locate({ clientX, clientY }) {
  const { left, top } = $("sheet").getBoundingClientRect();
  return [(clientX - left) / scale, (clientY - top) / scale];
}
