/* Where the picture of a page comes from: the browser itself, or the server for PDFs and what no browser shows. */

import { preview } from "./api.js";
import { element } from "./dom.js";

const KEPT = 16; // pages' pictures from the server, for each file
const THUMB = 96; // pixels

/* Returns the URL of an entry's own picture where the browser can show it, else null. */
export function ownPicture(entry) {
  entry.own ??= decode(entry);
  return entry.own;
}

async function decode(entry) {
  if (await entry.isDocument) return null;
  const url = URL.createObjectURL(entry.file);
  const image = element("img", { src: url });
  try {
    await image.decode();
    return {
      url,
      lies: image.naturalWidth > image.naturalHeight,
      width: image.naturalWidth,
      height: image.naturalHeight,
    };
  } catch {
    URL.revokeObjectURL(url);
    return null;
  }
}

/* Returns the URL of a page's picture, upright as the answer's pixels are, or null where nobody can draw it. */
export async function pictureOf(entry, page) {
  const own = await ownPicture(entry);
  // Browsers differ in which files they turn upright; one that lies while the page stands is the server's to draw.
  if (own && (page.width === page.height || own.lies === page.width > page.height)) return own.url;
  entry.previews ??= new Map();
  const number = page.source_page ?? page.page_number;
  if (!entry.previews.has(number)) {
    const made = preview(entry.file, number).then((blob) => URL.createObjectURL(blob));
    entry.previews.set(number, made);
    made.catch(() => entry.previews.delete(number));
    for (const old of entry.previews.keys()) {
      if (entry.previews.size <= KEPT) break;
      forget(entry.previews.get(old));
      entry.previews.delete(old);
    }
  }
  return entry.previews.get(number).catch(() => null);
}

/* Draws a small picture of the file from any URL of it. */
export async function drawThumb(canvas, url) {
  const image = element("img", { src: url });
  await image.decode();
  const scale = THUMB / Math.max(image.naturalWidth, image.naturalHeight);
  canvas.width = Math.max(1, image.naturalWidth * scale);
  canvas.height = Math.max(1, image.naturalHeight * scale);
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
}

/* Frees all pictures of an entry. */
export function release(entry) {
  entry.own?.then((own) => own && URL.revokeObjectURL(own.url));
  entry.previews?.forEach(forget);
}

function forget(made) {
  made.then(URL.revokeObjectURL, () => {});
}
