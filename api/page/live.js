// What happens at the gateway, as it happens: GET /v1/events (Server-Sent Events), read by hand, for EventSource sends
// no token. Where the gateway has no such stream, or the token may not have it, the page has to ask.

import { authorization, problemOf, renewToken } from "./api.js";

const SILENCE_MS = 40000; // the gateway says something every 15 s
const PAUSES_MS = [500, 1000, 2000, 5000, 10000, 20000];

// Pieces of text to events: {id, type, data}. A line may end in any of the three ways, and be cut anywhere.
export class EventReader {
  constructor(take) {
    this.take = take;
    this.rest = "";
    this.clear();
  }

  clear() {
    this.event = { type: "message", data: [], id: undefined };
  }

  feed(piece) {
    const lines = (this.rest + piece).split(/\r\n|\n|\r(?!$)/);
    this.rest = lines.pop();
    lines.forEach((line) => this.line(line));
  }

  line(line) {
    const [, name, value = ""] = /^([^:]*)(?:: ?([\s\S]*))?$/.exec(line);
    if (line === "") {
      if (this.event.data.length || this.event.type !== "message") {
        this.take({ ...this.event, data: this.event.data.join("\n") });
      }
      this.clear();
    } else if (name === "event") this.event.type = value;
    else if (name === "data") this.event.data.push(value);
    else if (name === "id") this.event.id = value;
  }
}

export class Live {
  // told: {event(type, data), reset(), mode("live" | "lost" | "asking")}
  constructor(told) {
    this.told = told;
    this.last = null;
    this.stop = null;
    this.failed = 0;
  }

  // Also after pause(): what was missed comes first, or reset().
  start() {
    if (!this.stop) this.run((this.stop = new AbortController()));
  }

  pause() {
    this.stop?.abort();
    this.stop = null;
  }

  async run(stop) {
    while (!stop.signal.aborted) {
      const more = await this.read(stop).catch(() => true);
      if (stop.signal.aborted) return;
      if (!more) return this.told.mode("asking");
      this.told.mode("lost");
      await this.wait(stop.signal, PAUSES_MS[Math.min(this.failed++, PAUSES_MS.length - 1)]);
    }
  }

  wait(signal, ms) {
    return new Promise((resolve) => {
      const over = () => {
        clearTimeout(timer);
        removeEventListener("online", over);
        signal.removeEventListener("abort", over);
        resolve();
      };
      const timer = setTimeout(over, ms);
      addEventListener("online", over);
      signal.addEventListener("abort", over);
    });
  }

  // Until it ends. false: there is none for us.
  async read(stop) {
    const used = authorization();
    const broken = new AbortController();
    const leave = () => broken.abort();
    let watch = 0;
    const alive = () => {
      clearTimeout(watch);
      watch = setTimeout(leave, SILENCE_MS);
    };
    stop.signal.addEventListener("abort", leave);
    alive();
    try {
      const response = await fetch("/v1/events", {
        signal: broken.signal, credentials: "omit", cache: "no-store", redirect: "error",
        headers: { Accept: "text/event-stream", ...used, ...(this.last === null ? {} : { "Last-Event-ID": this.last }) },
      });
      if (!response.ok) return await this.refused(response, used);
      await this.follow(response, alive);
      return true;
    } finally {
      clearTimeout(watch);
      leave();
      stop.signal.removeEventListener("abort", leave);
    }
  }

  async refused(response, used) {
    const problem = await problemOf(response);
    if (problem.status === 401) {
      await renewToken(problem, used);
      return true;
    }
    return ![403, 404, 405, 501].includes(problem.status);
  }

  async follow(response, alive) {
    const text = new TextDecoder();
    const reader = response.body.getReader();
    const events = new EventReader((event) => this.take(event));
    if (this.last === null) this.told.reset(); // what was before
    this.failed = 0;
    this.told.mode("live");
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      alive();
      events.feed(text.decode(value, { stream: true }));
    }
  }

  take({ type, data, id }) {
    if (id !== undefined) this.last = id;
    if (type === "reset") return this.told.reset();
    let body;
    try {
      body = JSON.parse(data);
    } catch {
      return;
    }
    this.told.event(type, body.data ?? {});
  }
}
