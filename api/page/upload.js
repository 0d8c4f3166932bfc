// What is uploaded from here: a queue, two at a time, each until it is a transfer, refused or cancelled.

import { Cancelled, Problem, get, query, random, request, segment } from "./api.js";
import { tusOffered, tusUpload } from "./tus.js";
import { persist, send } from "./wire.js";

// Larger ones go on where they broke off. Of smaller ones the gateway reads all before it hangs up, so that a refusal
// is heard: a browser does not look for an answer before it has sent everything.
const SMALL = 4 * 1024 * 1024;
const AT_ONCE = 2;

const waiting = [];
let running = 0;

export class Upload {
  constructor(file, path, options, onchange) {
    this.file = file;
    this.path = path;
    this.options = options; // to, caption, hold, methods
    this.onchange = onchange;
    this.id = "page-" + random();
    this.at = Date.now();
    this.again();
  }

  // From the start, in the place it has in the list.
  again() {
    this.state = "local"; // uploading, stalled, done, failed, cancelled
    this.sent = 0;
    this.problem = null;
    this.stalledUntil = 0;
    this.abort = new AbortController();
    waiting.push(this);
    next();
  }

  get over() {
    return ["done", "failed", "cancelled"].includes(this.state);
  }

  cancel() {
    const at = waiting.indexOf(this);
    this.abort.abort();
    if (at >= 0) {
      waiting.splice(at, 1);
      this.change("cancelled");
    }
  }

  change(state, more = {}) {
    Object.assign(this, more, { state });
    this.onchange(this);
  }

  async run() {
    const ways = {
      signal: this.abort.signal,
      headers: { "X-Request-Id": this.id },
      onprogress: (sent) => this.change("uploading", { sent: Math.min(sent, this.file.size) }),
      onstall: (problem, ms) => this.change("stalled", { problem, stalledUntil: Date.now() + ms }),
    };
    this.change("uploading");
    try {
      const resumable = this.file.size > SMALL && tusOffered();
      const transfer = await (resumable ? this.byPieces(ways) : this.atOnce(ways));
      this.change("done", { sent: this.file.size, problem: null, transfer });
    } catch (error) {
      if (error instanceof Cancelled) this.change("cancelled");
      else this.change("failed", { problem: error instanceof Problem ? error : unreadable(error) });
    }
  }

  // Offered when all of it is there: a broken upload leaves nothing behind, and the key makes sure that one whose answer
  // was lost is not sent twice.
  async atOnce({ signal, headers, onprogress, onstall }) {
    const { to, caption, hold, methods } = this.options;
    const path = `/v1/to/${segment(to)}/${segment(this.file.name)}${query({ caption, hold, methods, mode: "spool" })}`;
    const all = { ...headers, Accept: "application/json", "Idempotency-Key": `"${this.id}"` };
    if (this.file.type) all["Content-Type"] = this.file.type;
    const xhr = await persist(() => send("PUT", path, { headers: all, body: this.file, signal, onprogress }),
      { signal, onstall });
    return JSON.parse(xhr.responseText);
  }

  async byPieces(ways) {
    const { to, caption, hold, methods } = this.options;
    const pairs = { filename: this.file.name, filetype: this.file.type, to, caption, hold, methods };
    const path = await tusUpload(this.file, pairs, ways);
    return get(new URL(path, location.href).pathname, { signal: ways.signal }).catch((error) => {
      if (error instanceof Problem && error.status !== 0) return null; // a token that may send, and not look
      throw error;
    });
  }
}

function unreadable(error) {
  return new Problem({
    title: "The file cannot be read",
    detail: String(error.message ?? error),
    hint: "It may have been moved, changed or deleted since it was chosen: choose it again.",
  }, 0);
}

function next() {
  queueMicrotask(() => {
    while (running < AT_ONCE && waiting.length > 0) {
      running++;
      waiting.shift().run().finally(() => {
        running--;
        next();
      });
    }
  });
}

export const cancelTransfer = (id) => request("DELETE", "/v1/transfers/" + id).then((response) => response.json());
export const retryTransfer = (id) => request("POST", `/v1/transfers/${id}/retry`).then((response) => response.json());
