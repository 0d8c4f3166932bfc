// The steps of a transfer between gateway, server and recipient: a list to read, drawn as a sequence diagram.

import { arrange, el, set, svg, text } from "./dom.js";
import { bytes, fullTime, path, percent, person, seconds, step as meaning } from "./words.js";

const GATEWAY = 0, SERVER = 1, RECIPIENT = 2;
const WITH_SERVER = ["upload slot", "upload", "activate", "activated"];
const BYTES = ["first byte", "upload"];

// Which lane a step reaches to.
function farEnd(step, transfer) {
  if (WITH_SERVER.includes(step.step)) return SERVER;
  if (step.step === "socks5 connect" && transfer.method.path === "proxy") return SERVER;
  return RECIPIENT;
}

const LEFT = [8, 50, 92]; // of the lanes, percent

// An arrow that stretches with the page, and its head, which does not.
function arrow(from, to, bold) {
  const [left, right] = [Math.min(from, to), Math.max(from, to)].map((lane) => LEFT[lane]);
  const line = svg("svg", { class: "arrow" + (bold ? " bold" : ""), "aria-hidden": "true", preserveAspectRatio: "none" },
    svg("line", { x1: left + "%", x2: right + "%", y1: "50%", y2: "50%" }));
  const head = svg("svg", {
    class: `head lane${to} ${to > from ? "right" : "left"}`, viewBox: "0 0 10 12", "aria-hidden": "true",
  }, svg("path", { d: to > from ? "M0 0 10 6 0 12z" : "M10 0 0 6 10 12z" }));
  return [line, head];
}

const DIRECTION = { sent: "sent", received: "received", local: "at the gateway" };

const after = (ms) => (ms > 0 ? seconds(ms / 1000) : "0 ms");

function failed(step) {
  return step.outcome !== null && step.outcome !== "ok";
}

function row(step, transfer, since) {
  const local = step.direction === "local";
  const far = local ? GATEWAY : farEnd(step, transfer);
  const [from, to] = step.direction === "received" ? [far, GATEWAY] : [GATEWAY, far];
  const words = meaning(step);
  const label = el("span", { class: "label" },
    el("span", { class: "unseen" }, DIRECTION[step.direction] + ": "),
    el("b", {}, words ?? step.step),
    words ? el("span", { class: "raw" }, " " + step.step) : null,
    failed(step) ? el("span", { class: "outcome" }, " " + step.outcome.replaceAll("_", " ")) : null,
    step.detail ? el("span", { class: "detail" }, " " + step.detail) : null);
  const lanes = el("span", { class: "lanes", "aria-hidden": "true" });
  lanes.append(...(local ? [el("span", { class: "dot" })] : arrow(from, to, BYTES.includes(step.step))));
  return el("li", { class: `step ${step.direction}${failed(step) ? " failed" : ""}` },
    el("time", { datetime: step.at, title: fullTime(step.at) }, "+" + after(Date.parse(step.at) - since)),
    el("span", { class: "what" }, label, lanes));
}

export class Timeline {
  constructor() {
    this.heads = [0, 1, 2].map(() => el("span", { class: "who" }));
    this.steps = el("ol", { class: "steps", "aria-label": "Steps, in order" });
    this.flow = el("li", { class: "step flow" });
    this.flowText = el("b", {});
    this.flow.append(el("time", {}, ""), el("span", { class: "what" }, el("span", { class: "label" }, this.flowText),
      el("span", { class: "lanes", "aria-hidden": "true" }, ...arrow(GATEWAY, RECIPIENT, true))));
    this.node = el("div", { class: "timeline" },
      el("div", { class: "heads", "aria-hidden": "true" }, el("span", { class: "corner" }),
        el("span", { class: "whos" }, ...this.heads)),
      this.steps);
    this.rows = [];
  }

  // Steps are only ever added, until there are so many that the middle is left out.
  update(transfer) {
    const known = this.rows.map((known) => known.key);
    const steps = transfer.timeline;
    const since = steps.length ? Date.parse(steps[0].at) : 0;
    const keyOf = (step, i) => `${i} ${step.at} ${step.step} ${step.direction} ${transfer.method.path}`;
    this.rows = steps.map((step, i) => {
      const key = keyOf(step, i);
      return known[i] === key ? this.rows[i] : { key, node: row(step, transfer, since) };
    });
    text(this.heads[GATEWAY], "gateway");
    text(this.heads[SERVER], transfer.method.path === "proxy" ? "proxy" : "server");
    text(this.heads[RECIPIENT], person(transfer.to));
    const flowing = transfer.state === "transferring";
    if (flowing) {
      const sent = transfer.progress.sent;
      text(this.flowText, `${bytes(sent)}, ${percent(sent, transfer.file.size)} %, ${path(transfer) ?? "on their way"}`);
    }
    set(this.node, "data-flowing", flowing);
    arrange(this.steps, [...this.rows.map(({ node }) => node), ...(flowing ? [this.flow] : [])]);
  }
}
