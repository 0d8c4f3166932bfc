// What the page knows: the transfers it has heard of, and the uploads it makes. One entry each; an upload and the
// transfer that comes of it are one.

import { get, query } from "./api.js";
import { bare } from "./words.js";

const PAGE = 30;
const WINDOW_MS = 4000; // over which a rate is measured

// How fast a number grows, per second.
export class Meter {
  constructor() {
    this.samples = [];
  }

  add(value, now = performance.now()) {
    const last = this.samples.at(-1);
    if (last && value < last.value) this.samples = []; // it began anew
    if (last && value === last.value && this.samples.length > 1 && now - last.now < WINDOW_MS) return;
    this.samples.push({ value, now });
    while (this.samples.length > 2 && now - this.samples[0].now > WINDOW_MS) this.samples.shift();
  }

  rate(now = performance.now()) {
    const first = this.samples[0], last = this.samples.at(-1);
    if (!first || first === last || now - last.now > WINDOW_MS) return 0;
    return ((last.value - first.value) * 1000) / Math.max(now - first.now, 200);
  }
}

export class Entry {
  constructor(key, at) {
    this.key = key;
    this.at = at;
    this.upload = null;
    this.transfer = null;
    this.busy = false; // a button of it was pressed, and is not answered yet
    this.problem = null; // of that
    this.heard = 0; // when the transfer was last told of
    this.uploading = new Meter();
    this.sending = new Meter();
  }

  get to() {
    return this.transfer?.to ?? this.upload.options.to;
  }

  get state() {
    return this.transfer?.state ?? this.upload.state;
  }

  get final() {
    return this.transfer ? this.transfer.final : this.upload.over;
  }
}

export class Model {
  // told: {changed(entry), removed(entry), ended(entry), listed()}
  constructor(told) {
    this.told = told;
    this.entries = new Map(); // by key
    this.byRequest = new Map(); // the request id of an upload of ours → its entry
    this.filter = { state: "", to: "", since: null };
    this.next = null; // where older ones are
    this.readable = true; // the token may read
    this.turn = 0; // of the filter
    this.older = false; // more than the first page was read
  }

  find(id) {
    for (const entry of this.entries.values()) if (entry.transfer?.id === id) return entry;
    return null;
  }

  addUpload(upload) {
    const entry = new Entry(upload.id, upload.at);
    entry.upload = upload;
    this.entries.set(entry.key, entry);
    this.byRequest.set(upload.id, entry);
    this.told.changed(entry);
    return entry;
  }

  uploadChanged(upload) {
    const entry = this.byRequest.get(upload.id);
    if (!entry) return;
    entry.uploading.add(upload.sent);
    if (upload.state === "done" && upload.transfer) this.take(upload.transfer);
    this.told.changed(entry);
    if (!entry.transfer && upload.state === "failed") this.told.ended(entry);
  }

  // The newest of what is told of a transfer; answers and events may overtake each other.
  take(transfer) {
    let entry = this.find(transfer.id) ?? this.byRequest.get(transfer.request_id) ?? null;
    const known = entry?.transfer ?? null;
    if (entry) entry.heard = Date.now();
    if (known && (transfer.updated < known.updated || (known.final && !transfer.final && transfer.updated === known.updated)))
      return entry;
    if (known && transfer.updated === known.updated && transfer.progress.sent < known.progress.sent) return entry;
    if (!entry) {
      entry = new Entry(transfer.id, Date.parse(transfer.created));
      this.entries.set(entry.key, entry);
    }
    entry.transfer = transfer;
    entry.sending.add(transfer.progress.sent);
    if (entry.upload === null) entry.uploading.add(transfer.upload.received);
    this.told.changed(entry);
    if (transfer.final && known && !known.final) this.told.ended(entry);
    else if (transfer.final && !known && entry.upload) this.told.ended(entry);
    return entry;
  }

  shows(entry) {
    const { state, to, since } = this.filter;
    if (since !== null && entry.at < since) return false;
    if (to && entry.to !== to && (to.includes("/") || bare(entry.to) !== to)) return false;
    return !state || entry.state === state || (!entry.transfer && !entry.final);
  }

  // Newest first.
  list() {
    return [...this.entries.values()].filter((entry) => this.shows(entry)).sort((a, b) => b.at - a.at);
  }

  active() {
    return [...this.entries.values()].filter((entry) => !entry.final);
  }

  // The newest that the filter lets through; what is known stays.
  async load() {
    const { state, to, since } = this.filter;
    const next = await this.page("/v1/transfers" + query({
      state, to, since: since === null ? null : new Date(since).toISOString(), limit: PAGE,
    }));
    if (!this.older && next !== undefined) this.next = next;
    this.told.listed();
  }

  async loadOlder() {
    const next = await this.page(this.next);
    if (next === undefined) return;
    this.older = true;
    this.next = next;
    this.told.listed();
  }

  // Promises where the next one is; undefined: another filter was chosen meanwhile.
  async page(path) {
    const { turn } = this;
    let page;
    try {
      page = await get(path);
    } catch (problem) {
      if (problem.status === 403) {
        this.readable = false;
        this.told.listed();
      }
      throw problem;
    }
    if (turn !== this.turn) return undefined;
    this.readable = true;
    page.items.forEach((transfer) => this.take(transfer));
    return page.next;
  }

  async setFilter(filter) {
    this.filter = filter;
    for (const entry of this.entries.values()) {
      if (entry.upload === null && entry.final) this.entries.delete(entry.key);
    }
    this.turn++;
    this.next = null;
    this.older = false;
    this.told.listed();
    await this.load();
  }

  async look(id) {
    return this.take(await get("/v1/transfers/" + id));
  }

  // At what is under way, and was not told of for so long.
  async lookAtActive(silent = 0) {
    const asked = this.active().filter((entry) => entry.transfer && Date.now() - entry.heard >= silent).slice(0, 8);
    await Promise.all(asked.map((entry) => this.look(entry.transfer.id).catch((problem) => {
      if (problem.status === 404) {
        this.entries.delete(entry.key);
        this.told.removed(entry);
      }
    })));
  }
}
