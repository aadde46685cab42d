"use strict";

const $ = (id) => document.getElementById(id);
const MAX_BYTES = 50 * 2 ** 20 - 2048; // what the server takes, less the form around the image
const SVG = "http://www.w3.org/2000/svg";
let answer = null; // what the server said last, for the copy buttons
let shown = null; // the object URL of the image on the sheet
let latest = 0; // answers to all but the latest image are dropped

async function read(image, name) {
  const mine = ++latest;
  clear();
  if (image.size > MAX_BYTES) {
    fail("The image is too large", `${name} has ${Math.ceil(image.size / 2 ** 20)} MB; the limit is 50 MB. Scale it down or save it as JPEG.`);
    return;
  }
  $("status").textContent = `Reading ${name} …`;
  $("status").hidden = false;
  try {
    const form = new FormData();
    form.append("image", image, name);
    const response = await fetch("ocr", { method: "POST", body: form });
    const body = await response.json().catch(() => null);
    if (mine !== latest) return;
    if (!response.ok || !body) {
      fail(body?.title ?? "The server could not answer", body?.detail ?? `It answered with status ${response.status}.`);
      return;
    }
    show(body, image);
  } catch {
    if (mine === latest) fail("The server cannot be reached", "Check that it is running and that you are connected, then try again.");
  } finally {
    if (mine === latest) $("status").hidden = true;
  }
}

function clear() {
  for (const id of ["result", "error", "tip", "blind"]) $(id).hidden = true;
  if (shown) URL.revokeObjectURL(shown);
  shown = answer = null;
}

function fail(title, detail) {
  $("error").querySelector("strong").textContent = title;
  $("error").querySelector("span").textContent = detail;
  $("error").hidden = false;
  $("error").focus();
}

function show(body, image) {
  answer = body;
  const page = body.pages[0];
  const words = page.lines.flatMap(parts);
  drawImage(image, page);
  const boxes = words.map((word) => drawBox(word));
  $("boxes").setAttribute("viewBox", `0 0 ${page.width} ${page.height}`);
  $("boxes").replaceChildren(...boxes);
  if (boxes.length) boxes[0].setAttribute("tabindex", "0");
  const spans = writeText(page);
  words.forEach((word, index) => join(word, boxes[index], spans[index], page));
  const count = words.length === 1 ? "1 word" : `${words.length} words`;
  $("facts").textContent = `${page.width} × ${page.height} px · ${count} · ${body.timings.total.toFixed(2)} s`;
  $("warnings").replaceChildren(...body.warnings.map((warning) => element("li", {}, warning)));
  document.body.classList.add("done");
  $("result").hidden = false;
}

function drawImage(image, page) {
  shown = URL.createObjectURL(image);
  const picture = $("image");
  picture.width = page.width;
  picture.height = page.height;
  picture.onerror = () => {
    $("blind").hidden = false;
    const blank = `<svg xmlns="${SVG}" width="${page.width}" height="${page.height}"/>`;
    picture.onerror = null;
    URL.revokeObjectURL(shown);
    shown = picture.src = URL.createObjectURL(new Blob([blank], { type: "image/svg+xml" }));
  };
  picture.src = shown;
}

function drawBox(word) {
  const box = document.createElementNS(SVG, "polygon");
  box.setAttribute("points", word.polygon.map((point) => point.join(",")).join(" "));
  box.setAttribute("class", tone(word));
  box.setAttribute("tabindex", "-1");
  box.setAttribute("role", "img");
  box.setAttribute("aria-label", `${word.text}${percent(word)}`);
  return box;
}

/* Writes the page's text, a paragraph for each block of lines, and returns the words' elements in order. */
function writeText(page) {
  const spans = [];
  const lines = page.lines.values();
  const paragraphs = page.text ? page.text.split("\n\n") : [];
  const blocks = paragraphs.map((paragraph) => {
    const block = element("p");
    for (let row = 0; row < paragraph.split("\n").length; row++) {
      if (row) block.append(element("br"));
      parts(lines.next().value).forEach((word, index) => {
        const span = element("span", { className: `word ${tone(word)}` }, word.text);
        spans.push(span);
        block.append(index ? " " : "", span);
      });
    }
    return block;
  });
  $("text").replaceChildren(...(blocks.length ? blocks : [element("p", { className: "none" }, "No text was found in this image.")]));
  return spans;
}

/* Makes a word's box and its text light up together. */
function join(word, box, span, page) {
  const set = (on) => {
    box.classList.toggle("on", on);
    span.classList.toggle("on", on);
    $("tip").hidden = !on;
    if (!on) return;
    const [left, top, right] = word.bbox;
    $("tip").replaceChildren(word.text, element("b", {}, percent(word)));
    const middle = Math.min(Math.max((left + right) / 2 / page.width, 0.08), 0.92);
    $("tip").style.left = `${100 * middle}%`;
    $("tip").style.top = `${(100 * top) / page.height}%`;
  };
  for (const part of [box, span]) {
    part.addEventListener("pointerenter", () => set(true));
    part.addEventListener("pointerleave", () => set(false));
  }
  box.addEventListener("focus", () => {
    set(true);
    span.scrollIntoView({ block: "nearest" });
  });
  box.addEventListener("blur", () => set(false));
}

/* Some engines find lines and no words. */
function parts(line) {
  return line.words.length ? line.words : [line];
}

function tone({ confidence }) {
  if (confidence === null || confidence >= 0.8) return "sure";
  return confidence >= 0.5 ? "unsure" : "doubtful";
}

function percent({ confidence }) {
  return confidence === null ? "" : ` ${Math.round(100 * confidence)} % sure`;
}

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

async function copy(button, text) {
  const label = button.dataset.label ?? button.textContent;
  button.dataset.label = label;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    // Browsers keep the clipboard from pages that came over plain HTTP; selecting is what is left.
    getSelection().selectAllChildren($("text"));
    button.textContent = document.execCommand("copy") ? "Copied" : "Selected: press Ctrl-C";
  }
  setTimeout(() => (button.textContent = label), 1600);
}

$("file").addEventListener("change", ({ target }) => {
  if (target.files.length) read(target.files[0], target.files[0].name);
  target.value = ""; // so that choosing the same file again counts as a change
});

$("example")?.addEventListener("click", async () => {
  const response = await fetch("example").catch(() => null);
  if (response?.ok) read(await response.blob(), "the example");
  else fail("The example cannot be had", "The server did not hand it out; try an image of your own.");
});

addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("over");
});
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("over");
});
addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  const { files } = event.dataTransfer;
  if (files.length === 1) read(files[0], files[0].name);
  else if (files.length) fail("One image at a time, please", "Drop them one after the other; a program can send several in one request.");
  else fail("That was not a file", "Drop an image file from your computer, or choose one.");
});
addEventListener("paste", (event) => {
  const file = [...event.clipboardData.files].find(({ type }) => type.startsWith("image/"));
  if (file) read(file, "the pasted image");
  else fail("There is no image on the clipboard", "Copy an image or take a screenshot first, then paste it here.");
});

$("boxes").addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  const next = step && [...$("boxes").children].at([...$("boxes").children].indexOf(event.target) + step);
  if (!next) return;
  event.preventDefault();
  event.target.setAttribute("tabindex", "-1");
  next.setAttribute("tabindex", "0");
  next.focus();
});

$("copy").addEventListener("click", ({ target }) => copy(target, answer.text));
$("copy-json").addEventListener("click", ({ target }) => copy(target, JSON.stringify(answer, null, 2)));
$("origin").textContent = new URL(".", location).href;
