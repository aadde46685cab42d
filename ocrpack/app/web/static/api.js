/* The server's interface: every request, its retries, and its faults in plain words. */

import { otherToken, token } from "./token.js";

const PATIENCE = 600; // seconds that a busy server is waited for
const POLL = { first: 250, longest: 2000, growth: 1.4 }; // milliseconds between looks at a job
const LOST = 4; // looks at a job that may fail in a row, since networks come and go

const PLAIN = {
  403: ["This is not allowed", "The token does not permit it. Ask whoever runs this server."],
  404: ["The server does not offer this", "It may run an older version of this page."],
  405: ["The server does not offer this", "It may run an older version of this page."],
  413: ["The file is too large", "Scale the image down, or split the document, and try again."],
  429: ["The server is busy", "It has had too much to do for too long. Try again later."],
  502: ["The server is not answering", "It may be starting again. Try again in a moment."],
  503: ["The server is busy", "It has had too much to do for too long. Try again later."],
  504: ["The server took too long", "Try a smaller file, or try again later."],
};

/* What went wrong, in words for the person at the page. */
export class Problem extends Error {
  constructor(title, detail) {
    super(title);
    this.title = title;
    this.detail = detail;
  }
}

/* Returns the bytes that the server takes at most in one file, where it says so. */
export async function largestFile() {
  try {
    const { limits } = await (await fetch("readyz")).json();
    return limits?.body_mb ? { megabytes: limits.body_mb, bytes: limits.body_mb * 2 ** 20 - 2048 } : null;
  } catch {
    return null; // the server will say it when a file comes
  }
}

/* Tells from a file's first bytes whether it may have several pages: a PDF or a TIFF. */
export async function isDocument(file) {
  const start = String.fromCharCode(...new Uint8Array(await file.slice(0, 1024).arrayBuffer()));
  return start.includes("%PDF-") || /^(II[*+]\0|MM\0[*+])/.test(start);
}

/*
 * Reads a file and returns the answer, or with another `output` the blob of it. Documents are read as jobs, and so is
 * what the server makes one. `progress({done, total})` is called as pages are done, `waiting(seconds)` while the server
 * is busy. Aborting `signal` deletes the job.
 */
export async function read(file, { languages = [], output = "json" } = {}, hooks = {}) {
  const form = new FormData();
  form.append("image", file, file.name);
  if (languages.length) form.append("languages", languages.join(","));
  if (output !== "json") form.append("output", output);
  const path = (await isDocument(file)) ? "ocr/jobs" : "ocr";
  const response = await call(path, { method: "POST", body: form }, hooks);
  if (response.status === 202) return finish(await response.json(), output, hooks);
  return bodyOf(response, output);
}

/* Returns the blob of an answer in another format, made without reading the file again. */
export async function render(answer, output) {
  const body = JSON.stringify({ answer });
  const headers = { "Content-Type": "application/json" };
  return (await call(`ocr/render?output=${output}`, { method: "POST", body, headers })).blob();
}

/* Returns the blob of a page's picture; pages count from 1. */
export async function preview(file, page) {
  const headers = { "Content-Type": file.type || "application/octet-stream" };
  return (await call(`ocr/preview?page=${page}`, { method: "POST", body: file, headers })).blob();
}

export async function example() {
  return (await call("example")).blob();
}

async function finish(job, output, hooks) {
  const self = `ocr/jobs/${encodeURIComponent(job.id)}`;
  let pause = POLL.first;
  let lost = 0;
  try {
    while (job.status === "queued" || job.status === "running") {
      hooks.progress?.(job.progress ?? {});
      await sleep(pause, hooks.signal);
      pause = Math.min(pause * POLL.growth, POLL.longest);
      try {
        job = await (await call(self, {}, hooks)).json();
        lost = 0;
      } catch (error) {
        if (!(error instanceof Unreachable) || ++lost === LOST) throw error;
      }
    }
    if (job.status === "failed") throw new Problem(job.problem?.title ?? "Reading failed", job.problem?.detail ?? "");
    if (job.status === "cancelled") throw new Problem("Reading was cancelled", "Someone else ended it on the server.");
    return await bodyOf(await call(`${self}/result`, {}, hooks), output);
  } finally {
    // Nothing of the file stays on the server, whether it was read or given up.
    call(self, { method: "DELETE", keepalive: true }).catch(() => {});
  }
}

const bodyOf = (response, output) => (output === "json" ? response.json() : response.blob());

class Unreachable extends Problem {
  constructor() {
    super("The server cannot be reached", "Check that it is running and that you are connected, then try again.");
  }
}

/* Sends a request until it is answered with success, for as long as a token or patience is all that it lacks. */
async function call(path, init = {}, { signal, waiting } = {}) {
  const until = Date.now() + PATIENCE * 1000;
  for (;;) {
    const used = token();
    const headers = { ...init.headers, ...(used && { Authorization: `Bearer ${used}` }) };
    const response = await fetch(path, { ...init, headers, signal }).catch((error) => {
      throw error.name === "AbortError" ? error : new Unreachable();
    });
    if (response.ok) return response;
    if (response.status === 401) {
      if (await otherToken(used)) continue;
      throw new Problem("A token is needed", "This server reads files only for those who have its token.");
    }
    const seconds = retryAfter(response);
    if (seconds === null || Date.now() + seconds * 1000 > until) throw await problemOf(response);
    waiting?.(seconds);
    await sleep(seconds * 1000, signal);
    waiting?.(0);
  }
}

/* Returns the seconds after which a busy server wants to be asked again, or null where it does not say so. */
function retryAfter(response) {
  const text = response.headers.get("Retry-After");
  if (!text || (response.status !== 429 && response.status !== 503)) return null;
  const seconds = /^\d+$/.test(text) ? Number(text) : (Date.parse(text) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.max(0.2, seconds) : null;
}

async function problemOf(response) {
  const said = await response.json().catch(() => null);
  if (said?.title && said.detail) return new Problem(said.title, said.detail);
  const [title, detail] = PLAIN[response.status] ?? [
    "The server could not answer",
    `Its status was ${response.status}.`,
  ];
  return new Problem(title, detail);
}

function sleep(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const give = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", give);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", give, { once: true });
  });
}
