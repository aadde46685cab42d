/* The files of this visit: who waits, who is read, and what came out. */

import { Problem, isDocument, read } from "./api.js";
import { release } from "./picture.js";

const AT_ONCE = 2;
let count = 0;

/*
 * Where an entry begins. `state` is waiting, reading, done or failed; `done` and `total` are pages; `busy` tells that the
 * server asked to be given time; `at` is the index of the page that is looked at.
 */
const FRESH = { state: "waiting", done: 0, total: null, busy: false, answer: null, problem: null, at: 0 };

/* One file. */
class Entry {
  constructor(file, languages) {
    Object.assign(this, FRESH);
    this.id = ++count;
    this.file = file;
    this.name = file.name || "pasted image";
    this.languages = languages;
    this.isDocument = isDocument(file).catch(() => false);
  }

  get words() {
    const parts = (line) => line.words.length || 1;
    return this.answer.pages.reduce((sum, { lines }) => sum + lines.reduce((part, line) => part + parts(line), 0), 0);
  }
}

/* Reads files, two at once; tells every change of an entry by a `change` event. */
export class Queue extends EventTarget {
  entries = [];
  limit = null;

  add(files, languages) {
    const added = files.map((file) => new Entry(file, languages));
    this.entries.push(...added);
    added.forEach((entry) => this.#tell(entry));
    this.#next();
    return added;
  }

  again(entry, languages) {
    entry.control?.abort();
    Object.assign(entry, FRESH, { languages });
    this.#tell(entry);
    this.#next();
  }

  remove(entry) {
    this.entries.splice(this.entries.indexOf(entry), 1);
    entry.control?.abort();
    release(entry);
    this.#tell(entry);
    this.#next();
  }

  #tell(entry) {
    this.dispatchEvent(new CustomEvent("change", { detail: entry }));
  }

  #next() {
    const reading = this.entries.filter(({ state }) => state === "reading").length;
    const waiting = this.entries.filter(({ state }) => state === "waiting");
    waiting.slice(0, Math.max(0, AT_ONCE - reading)).forEach((entry) => this.#read(entry));
  }

  async #read(entry) {
    const control = (entry.control = new AbortController());
    const update = (values) => {
      if (control.signal.aborted) return;
      Object.assign(entry, values);
      this.#tell(entry);
    };
    update({ state: "reading" });
    try {
      this.#check(entry.file);
      const answer = await read(
        entry.file,
        { languages: entry.languages },
        {
          signal: control.signal,
          progress: ({ done = 0, total = null }) => update({ done, total }),
          waiting: (seconds) => update({ busy: seconds > 0 }),
        },
      );
      update({ state: "done", answer });
    } catch (error) {
      const problem = error instanceof Problem ? error : new Problem("The page made a mistake", String(error));
      update({ state: "failed", problem });
    }
    this.#next();
  }

  #check(file) {
    if (!file.size)
      throw new Problem("The file is empty", "It has no bytes in it, or it is a folder. Choose another one.");
    if (!this.limit || file.size <= this.limit.bytes) return;
    const has = Math.ceil(file.size / 2 ** 20);
    const advice = "Scale the image down, or split the document, and try again.";
    throw new Problem(
      "The file is too large",
      `It has ${has} MB; this server takes ${this.limit.megabytes} MB. ${advice}`,
    );
  }
}
