/* The words of a page, how sure the engine is of them, and which one is at a point. */

const RIGHT_TO_LEFT = /[\u0590-\u08ff\ufb1d-\ufefc]/;

/* Returns a page's words in reading order, each with its line's number; some engines find lines and no words. */
export function wordsOf(page) {
  return page.lines.flatMap((line, row) => (line.words.length ? line.words : [line]).map((part) => wordOf(part, row)));
}

function wordOf({ text, bbox, polygon, confidence }, row) {
  const [left, top, right, bottom] = bbox;
  const corners = polygon ?? [
    [left, top],
    [right, top],
    [right, bottom],
    [left, bottom],
  ];
  const [start, end, , below] = corners;
  const along = [end[0] - start[0], end[1] - start[1]];
  const down = [below[0] - start[0], below[1] - start[1]];
  const width = Math.hypot(...along) || 1;
  const height = Math.hypot(...down) || 1;
  return { text, bbox, corners, confidence, row, tone: toneOf(confidence), start, along, down, width, height };
}

function toneOf(confidence) {
  if (confidence === null || confidence >= 0.8) return "sure";
  return confidence >= 0.5 ? "unsure" : "doubtful";
}

export function percent({ confidence }) {
  return confidence === null ? "" : `${Math.round(100 * confidence)} % sure`;
}

/* Returns where a point is in a word's own frame: 0 to 1 along it and down it. */
function within({ start, along, down, width, height }, x, y) {
  const [across, below] = [x - start[0], y - start[1]];
  return [(across * along[0] + below * along[1]) / width ** 2, (across * down[0] + below * down[1]) / height ** 2];
}

/* Returns the index of the word at a point, or -1. */
export function wordAt(words, x, y) {
  return words.findIndex((word) => within(word, x, y).every((part) => part >= 0 && part <= 1));
}

/* Returns the place in the text that is nearest to a point, as a word's index and an offset in it. */
export function caretAt(words, x, y) {
  const outside = (part) => Math.max(0, -part, part - 1);
  let best = Infinity;
  let index = 0;
  words.forEach((word, number) => {
    const [along, down] = within(word, x, y);
    // A line is left for another one only when the pointer is clearly nearer to that one.
    const distance = outside(along) * word.width + 4 * outside(down) * word.height;
    if (distance < best) [best, index] = [distance, number];
  });
  const { text } = words[index];
  const along = Math.min(1, Math.max(0, within(words[index], x, y)[0]));
  return [index, Math.round((RIGHT_TO_LEFT.test(text) ? 1 - along : along) * text.length)];
}

/* Returns the index of the word that a key leads to from another one, or undefined where the key leads nowhere. */
export function wordByKey(words, from, key) {
  const last = words.length - 1;
  if (key === "Home") return 0;
  if (key === "End") return last;
  if (key === "ArrowRight") return Math.min(last, from + 1);
  if (key === "ArrowLeft") return Math.max(0, from - 1);
  if (key !== "ArrowDown" && key !== "ArrowUp") return undefined;
  const row = words[Math.max(0, from)].row + (key === "ArrowDown" ? 1 : -1);
  const middle = ({ bbox }) => bbox[0] + bbox[2];
  const gap = (index) => Math.abs(middle(words[index]) - middle(words[from]));
  const there = words.flatMap((word, index) => (word.row === row ? [index] : []));
  return there.length && from >= 0 ? there.reduce((a, b) => (gap(b) < gap(a) ? b : a)) : Math.max(0, from);
}
