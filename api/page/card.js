// One entry of the list, as it is shown.

import { bytes, fullTime, hint, left, method, path, percent, person, proof, rate, seconds, sentence, time, STATES } from "./words.js";
import { el, icon, set, text } from "./dom.js";
import { Timeline } from "./timeline.js";

const ASIDE = new Set(["unreachable", "unknown"]); // the page's own, of which the gateway has no page

let count = 0;

function bar(name) {
  const fill = el("span", { class: "fill" });
  const value = el("span", { class: "value" });
  const track = el("span", { class: "track", role: "progressbar", "aria-label": name, "aria-valuemin": 0, "aria-valuemax": 100 },
    fill);
  const node = el("div", { class: "bar" }, el("span", { class: "name", "aria-hidden": "true" }, name), track, value);
  return {
    node,
    set(part, kind, words = part + " %") {
      set(node, "data-kind", kind);
      set(track, "aria-valuenow", part);
      set(track, "aria-valuetext", words);
      fill.style.transform = `scaleX(${part / 100})`;
      text(value, words);
    },
  };
}

function button(name, picture, onclick) {
  const label = el("span", {}, name);
  const node = el("button", { type: "button", class: "quiet small", onclick }, icon(picture), label);
  return { node, label };
}

export class Card {
  // asked: {cancel(entry), retry(entry), copy(entry), opened(entry, open)}
  constructor(entry, asked) {
    const id = "card-" + ++count;
    this.entry = entry;
    this.asked = asked;
    this.open = false;
    this.title = el("h3", { id });
    this.chip = el("span", { class: "chip" });
    this.when = el("time", {});
    this.whom = el("p", { class: "whom" });
    this.uploaded = bar("Upload");
    this.delivered = bar("Delivery");
    this.bars = el("div", { class: "bars" }, this.uploaded.node, this.delivered.node);
    this.moved = !entry.final; // seen on its way: what has ended before needs no bars
    this.words = el("p", { class: "words" });
    this.trouble = el("div", { class: "trouble", hidden: true });
    this.cancel = button("Cancel", "close", () => asked.cancel(entry));
    this.retry = button("Try again", "retry", () => asked.retry(entry));
    this.copy = button("Copy link", "link", () => asked.copy(entry));
    this.more = button("Steps", "down", () => this.toggle());
    this.more.node.setAttribute("aria-controls", id + "-more");
    this.details = el("div", { class: "details", id: id + "-more", hidden: true });
    // The buttons say which card they are of, to who hears them one by one.
    for (const { node, label } of [this.cancel, this.retry, this.copy, this.more]) {
      label.id = `${id}-${label.textContent.split(" ")[0].toLowerCase()}`;
      node.setAttribute("aria-labelledby", `${label.id} ${id}`);
    }
    this.node = el("li", { class: "card transfer" }, el("article", { "aria-labelledby": id },
      el("div", { class: "line" }, el("span", { class: "glyph" }, icon("file")),
        el("div", { class: "names" }, this.title, this.whom), el("div", { class: "marks" }, this.chip, this.when)),
      this.bars, this.trouble,
      el("div", { class: "foot" }, this.words,
        el("div", { class: "actions" }, this.more.node, this.copy.node, this.retry.node, this.cancel.node)),
      this.details));
  }

  toggle(open = !this.open) {
    this.open = open;
    if (open && !this.timeline) {
      this.timeline = new Timeline();
      this.facts = el("dl", { class: "facts" });
      this.details.append(this.timeline.node, this.facts);
    }
    this.update();
    this.asked.opened(this.entry, open);
  }

  update() {
    const { upload, transfer, state } = this.entry;
    const [name, kind] = STATES[state] ?? [state, "busy"];
    const file = transfer?.file ?? upload.file;
    this.moved ||= !this.entry.final;
    set(this.bars, "hidden", !this.moved);
    set(this.node, "data-state", state);
    set(this.node, "data-kind", kind);
    text(this.title, file.name);
    set(this.title, "title", upload && upload.path !== file.name ? upload.path : null);
    text(this.chip, name);
    text(this.when, time(this.entry.at));
    set(this.when, "datetime", new Date(this.entry.at).toISOString());
    set(this.when, "title", fullTime(this.entry.at));
    text(this.whom, `${bytes(file.size)} to ${this.recipient()}`);
    this.updateBars(kind);
    text(this.words, transfer ? this.transferWords() : this.uploadWords());
    this.updateTrouble();
    this.updateActions();
  }

  recipient() {
    const { transfer, to } = this.entry;
    return transfer?.resource && !to.includes("/") ? `${to}/${transfer.resource}` : to;
  }

  updateBars(kind) {
    const { upload, transfer } = this.entry;
    const size = transfer?.file.size ?? upload.file.size;
    const here = transfer ? transfer.upload.received : upload.sent;
    const whole = transfer ? transfer.upload.state === "complete" : upload.state === "done";
    const done = kind === "good";
    const sent = done ? 100 : transfer ? percent(transfer.progress.sent, size) : 0;
    this.uploaded.set(whole ? 100 : percent(here, size || 1), whole ? "good" : kind);
    this.delivered.set(transfer && !done && sent === 100 && size === 0 ? 0 : sent, done ? "good" : kind);
  }

  uploadWords() {
    const { upload, uploading } = this.entry;
    switch (upload.state) {
      case "local": return "Waits for the uploads before it";
      case "uploading": {
        const speed = uploading.rate();
        const rest = upload.file.size - upload.sent;
        if (rest <= 0) return "Uploaded; the gateway makes sure of it";
        return `Goes to the gateway: ${bytes(upload.sent)}` +
          (speed > 0 ? `, ${rate(speed)}, ${left(rest / speed)}` : "");
      }
      case "stalled": {
        const wait = Math.max(0, upload.stalledUntil - Date.now()) / 1000;
        const why = upload.problem.status === 0 ? "Waits for the network" : upload.problem.title;
        return `${why}; tries again ${wait >= 1 ? "in " + Math.ceil(wait) + " s" : "now"}`;
      }
      case "done": return "Accepted by the gateway";
      case "cancelled": return "Cancelled before all of it was uploaded";
      default: return "Was not uploaded";
    }
  }

  transferWords() {
    const { transfer, sending } = this.entry;
    const words = sentence(transfer);
    if (transfer.state !== "transferring") return words;
    const speed = sending.rate();
    if (speed <= 0) return words;
    return `${words}, ${rate(speed)}, ${left((transfer.file.size - transfer.progress.sent) / speed)}`;
  }

  updateTrouble() {
    const { upload, transfer, problem } = this.entry;
    const error = problem ?? transfer?.error ?? (upload?.state === "failed" ? upload.problem : null);
    const key = error ? `${error.title}|${error.detail}|${error.hint}` : "";
    set(this.trouble, "hidden", !error);
    if (this.troubleKey === key) return;
    this.troubleKey = key;
    this.trouble.replaceChildren(...(error ? [
      el("p", {}, el("strong", {}, error.title), error.detail ? ": " + error.detail : ""),
      el("p", { class: "hint" }, hint(error) ?? "", " ",
        ASIDE.has(error.code) ? null : el("a", { href: "/problems/" + error.code, target: "_blank" }, "What this means")),
    ] : []));
  }

  updateActions() {
    const { upload, transfer, busy, final } = this.entry;
    const focused = document.activeElement;
    const own = transfer?.state === "link_sent" && transfer.link?.own;
    const again = transfer ? ["failed", "expired"].includes(transfer.state) : upload.over && upload.state !== "done";
    set(this.cancel.node, "hidden", final && !own);
    set(this.cancel.node, "aria-disabled", busy ? "true" : null); // "disabled" would take the focus away
    text(this.cancel.label, own ? "End the link" : "Cancel");
    set(this.retry.node, "hidden", !again);
    set(this.retry.node, "aria-disabled", busy ? "true" : null);
    set(this.copy.node, "hidden", !transfer);
    set(this.more.node, "hidden", !transfer);
    this.keepFocus(focused);
    const open = this.open && transfer !== null;
    set(this.more.node, "aria-expanded", open ? "true" : "false");
    set(this.details, "hidden", !open);
    if (open) {
      this.timeline.update(transfer);
      this.updateFacts(transfer);
    }
  }

  // A button that is gone leaves the focus to one that is there.
  keepFocus(focused) {
    const buttons = [this.cancel, this.retry, this.copy, this.more].map(({ node }) => node);
    if (focused.hidden && buttons.includes(focused)) buttons.find((node) => !node.hidden)?.focus();
  }

  updateFacts(t) {
    const tried = t.method.tried.filter((name) => name !== t.method.name || t.final);
    const facts = {
      Id: t.id,
      From: t.from,
      Method: t.method.name ? `${t.method.name}: ${method(t.method.name)}` : null,
      Path: path(t),
      Tried: tried.length ? tried.join(", ") : null,
      Attempt: t.max_attempts > 1 && t.attempt ? `${t.attempt} of ${t.max_attempts}` : null,
      Evidence: t.delivery_proof ? proof(t.delivery_proof) : null,
      Caption: t.caption,
      Labels: Object.entries(t.labels ?? {}).map(([name, value]) => `${name}: ${value}`).join(", "),
      Batch: t.batch,
      Type: t.file.type,
      "SHA-256": t.file.sha256,
      Ended: t.finished ? `${fullTime(t.finished)}, after ${seconds((Date.parse(t.finished) - Date.parse(t.created)) / 1000)}` : null,
      Token: t.token,
    };
    const key = JSON.stringify(facts);
    if (this.factsKey === key) return;
    this.factsKey = key;
    this.facts.replaceChildren(...Object.entries(facts).filter(([, value]) => value)
      .map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", { class: ["Id", "Batch", "SHA-256"].includes(name) ? "code" : null }, value))));
  }

  copied() {
    text(this.copy.label, "Copied");
    setTimeout(() => text(this.copy.label, "Copy link"), 2000);
  }

  // What is said aloud when it has ended.
  news() {
    const { upload, transfer } = this.entry;
    const name = transfer?.file.name ?? upload.file.name;
    if (!transfer) return `${name} was not uploaded: ${upload.problem?.title ?? ""}`;
    return transfer.state === "delivered" ? `${name} was delivered to ${person(transfer.to)}` : `${name}: ${sentence(transfer)}`;
  }
}
