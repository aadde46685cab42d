/* Small helpers for building the page's elements and for speaking to screen readers. */

export const $ = (id) => document.getElementById(id);

export function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

export function plural(count, noun) {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}

/* Speaks through the live region; the same words twice are spoken twice. */
export function say(text) {
  $("said").textContent = "";
  setTimeout(() => ($("said").textContent = text), 50);
}

/* Shows what concerns no single file, until it is dismissed or something else happens. */
export function notice(title, detail) {
  $("notice-title").textContent = title;
  $("notice-detail").textContent = detail;
  $("notice").hidden = false;
}

export function dismiss() {
  $("notice").hidden = true;
}

/* Scrolls a box so far that an element in it can be seen; the page itself stays where it is. */
export function reveal(inner, box) {
  const [there, room] = [inner.getBoundingClientRect(), box.getBoundingClientRect()];
  const gap = 48;
  const by = (low, high, least, most) => Math.min(0, low - gap - least) || Math.max(0, high + gap - most);
  box.scrollBy(by(there.left, there.right, room.left, room.right), by(there.top, there.bottom, room.top, room.bottom));
}
