// The form: which files, for whom, and how.

import { $, announce, el, icon, set, text } from "./dom.js";
import { Problem, get, query, segment } from "./api.js";
import { bytes, method, person, plural } from "./words.js";
import { fromDrop, fromInput, hasFiles, MOST } from "./drop.js";
import { keepJson, recallJson } from "./keep.js";

const RECENT = 12;
const PAUSE_MS = 400; // in typing, before the recipient is looked up

export class SendForm {
  // ask: {send(file, path, options)}
  constructor(ask) {
    this.ask = ask;
    this.chosen = [];
    this.looking = null;
    this.limit = Infinity;
    this.listen();
    this.showRecent();
    this.showChosen();
    this.showReach(null);
  }

  // GET /v1: what the gateway can and takes.
  configure(root) {
    this.limit = root.limits.max_file;
    this.demo = root.demo;
    this.showRecent();
    $("methods").replaceChildren(...root.methods.map((name) => el("label", { class: "check" },
      el("input", { type: "checkbox", name: "method", value: name }),
      el("span", {}, el("b", {}, name), " " + method(name)))));
  }

  listen() {
    $("pick-files").addEventListener("click", () => $("files").click());
    set($("pick-folder"), "hidden", !("webkitdirectory" in $("folder"))); // as on phones
    $("pick-folder").addEventListener("click", () => $("folder").click());
    for (const id of ["files", "folder"]) {
      $(id).addEventListener("change", () => {
        this.add(fromInput($(id)));
        $(id).value = ""; // so that the same may be chosen again
      });
    }
    $("to").addEventListener("input", () => this.recipientChanged());
    $("to").addEventListener("change", () => this.recipientChanged(0));
    $("methods").addEventListener("change", () => this.recipientChanged(0));
    $("send").addEventListener("submit", (event) => {
      event.preventDefault();
      this.submit();
    });
    this.listenToDrops();
  }

  listenToDrops() {
    let inside = 0; // each element that is entered is left later
    const over = () => set($("overlay"), "hidden", inside <= 0);
    addEventListener("dragenter", (event) => {
      if (!hasFiles(event)) return;
      inside++;
      over();
    });
    addEventListener("dragleave", (event) => {
      if (!hasFiles(event)) return;
      inside = event.relatedTarget === null ? 0 : inside - 1;
      over();
    });
    addEventListener("dragover", (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      event.dataTransfer.dropEffect = "copy";
    });
    addEventListener("drop", async (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      inside = 0;
      over();
      const { found, unread } = await fromDrop(event.dataTransfer);
      this.add(found, unread);
    });
    addEventListener("paste", (event) => {
      if (event.clipboardData?.files.length) this.add([...event.clipboardData.files].map((file) => ({ file, path: file.name })));
    });
  }

  add(found, unread = 0) {
    const room = MOST - this.chosen.length;
    const large = found.filter(({ file }) => file.size > this.limit);
    const fit = found.filter(({ file }) => file.size <= this.limit).slice(0, room);
    this.chosen.push(...fit);
    this.complain(
      large.length ? `${large[0].path} is larger than the ${bytes(this.limit)} this gateway takes.`
      : found.length > room ? `${plural(MOST, "file")} at once are the most.`
      : unread ? `${plural(unread, "file or folder", "files or folders")} could not be read.`
      : "");
    this.showChosen();
    if (fit.length) announce(plural(fit.length, "file") + " added");
    if (fit.length && !$("to").value) $("to").focus();
  }

  showChosen() {
    $("chosen").replaceChildren(...this.chosen.map((chosen) => el("li", {}, icon("file"),
      el("span", { class: "path", title: chosen.path }, chosen.path),
      el("span", { class: "size" }, bytes(chosen.file.size)),
      el("button", {
        type: "button", class: "quiet square small", "aria-label": "Leave out " + chosen.path,
        onclick: (event) => this.leaveOut(chosen, event.currentTarget),
      }, icon("close")))));
    set($("chosen"), "hidden", this.chosen.length === 0);
    const size = this.chosen.reduce((sum, { file }) => sum + file.size, 0);
    text($("send-button"), this.chosen.length ? `Send ${plural(this.chosen.length, "file")}, ${bytes(size)}` : "Send");
  }

  // The focus goes to the one behind it.
  leaveOut(chosen, button) {
    const at = [...$("chosen").querySelectorAll("button")].indexOf(button);
    this.chosen = this.chosen.filter((other) => other !== chosen);
    this.showChosen();
    const buttons = $("chosen").querySelectorAll("button");
    (buttons[Math.min(at, buttons.length - 1)] ?? $("pick-files")).focus();
  }

  complain(message) {
    text($("send-error"), message);
  }

  get to() {
    return $("to").value.trim();
  }

  get methods() {
    return [...$("methods").querySelectorAll("input:checked")].map((box) => box.value).join(",");
  }

  submit() {
    const to = this.to;
    if (this.chosen.length === 0) {
      this.complain("Choose a file first, or drop some.");
      $("pick-files").focus();
      return;
    }
    if (!looksWhole(to)) {
      this.complain("Say for whom: an address like ana@example.org.");
      set($("to"), "aria-invalid", "true");
      $("to").focus();
      return;
    }
    const options = { to, caption: $("caption").value.trim(), hold: $("hold").value, methods: this.methods };
    this.complain("");
    this.remember(to);
    for (const { file, path } of this.chosen) this.ask.send(file, path, options);
    announce(`${plural(this.chosen.length, "file")} on the way to ${person(to)}`);
    this.chosen = [];
    $("caption").value = "";
    this.showChosen();
  }

  setRecipient(to) {
    $("to").value = to;
    this.recipientChanged(0);
  }

  // ---- those written to before

  remember(to) {
    keepJson("recent", [to, ...recallJson("recent", []).filter((other) => other !== to)].slice(0, RECENT));
    this.showRecent();
  }

  showRecent() {
    const known = recallJson("recent", []).filter((to) => to !== this.demo);
    $("recent").replaceChildren(...known.map((to) => el("option", { value: to })),
      ...(this.demo ? [el("option", { value: this.demo, label: "the gateway itself, to try it" })] : []));
  }

  // ---- how they are reached

  recipientChanged(ms = PAUSE_MS) {
    const key = this.to + "|" + this.methods;
    if (looksWhole(this.to)) set($("to"), "aria-invalid", null);
    if (this.looking?.key === key) return;
    clearTimeout(this.looking?.timer);
    this.looking?.abort.abort();
    this.looking = { key, abort: new AbortController() };
    if (!looksWhole(this.to)) {
      this.showReach(null);
      return;
    }
    const mine = this.looking;
    mine.timer = setTimeout(() => this.look(mine), ms);
  }

  async look(mine) {
    set($("reach"), "aria-busy", "true");
    try {
      const found = await get(`/v1/recipients/${segment(this.to)}${query({ methods: this.methods })}`, { signal: mine.abort.signal });
      if (mine === this.looking) this.showReach(found);
    } catch (error) {
      if (mine === this.looking && error instanceof Problem) this.showUnknown(error);
    } finally {
      if (mine === this.looking) set($("reach"), "aria-busy", null);
    }
  }

  showUnknown(problem) {
    if (problem.status === 403) this.fillReach("none", null, "This token may not look up who is online.");
    else this.fillReach("bad", problem.title, problem.detail, null);
  }

  showReach(found) {
    if (!found) return this.fillReach("none", null, "The gateway looks for their devices before you send.");
    const first = found.ladder.find((rung) => rung.possible);
    const unsure = !first && found.ladder.find((rung) => rung.possible === null);
    const devices = found.resources.map((resource) => device(resource)).join(", ");
    if (found.reachable) {
      this.fillReach(first ? "good" : "warn", `Online: ${devices}`,
        first ? `Would be sent by ${first.method}${wayOf(first.method, found.paths)}.`
        : unsure ? `Perhaps by ${unsure.method}: ${unsure.why}.` : "But none of the chosen methods gets there.", found.ladder);
    } else if (first) {
      this.fillReach("warn", devices ? `Online, but takes no files: ${devices}` : "Offline", `Would get ${method(first.method)}.`, found.ladder);
    } else {
      this.fillReach("still", devices ? `Online, but takes no files: ${devices}` : "Offline, as far as the gateway sees",
        found.subscribed === false || devices ? found.error?.detail : holdHint(), found.ladder);
    }
  }

  fillReach(kind, title, detail, ladder) {
    const node = $("reach");
    set(node, "data-kind", kind);
    node.replaceChildren(...[
      title && el("p", {}, el("span", { class: "lamp", "aria-hidden": "true" }), el("b", {}, title)),
      detail && el("p", {}, detail),
      ladder && this.ladder(ladder),
    ].filter(Boolean));
  }

  ladder(rungs) {
    const word = { true: "yes", false: "no", null: "perhaps" };
    return el("details", { class: "ladder" }, el("summary", {}, "What would be tried, in order"),
      el("ol", {}, ...rungs.map((rung) => el("li", { "data-possible": String(rung.possible) },
        el("b", {}, rung.method), " ", el("span", {}, rung.possible ? word.true : `${word[rung.possible]}: ${rung.why ?? ""}`)))));
  }
}

function looksWhole(to) {
  return /^[^@/\s]+@[^@/\s]+(\/.+)?$/.test(to);
}

function device(resource) {
  const name = resource.jid.split("/").slice(1).join("/") || resource.jid;
  const show = { away: "away", xa: "away for long", dnd: "busy" }[resource.show];
  return show ? `${name} (${show})` : name;
}

function wayOf(name, paths) {
  if (name.endsWith("ibb")) return ", inside the XMPP stream";
  if (!name.endsWith("s5b") || !paths) return "";
  if (paths.direct) return paths.proxies.length ? ", directly or through a proxy" : ", directly";
  return paths.proxies.length ? `, through ${paths.proxies[0]}` : "";
}

const holdHint = () => $("hold").value && $("hold").value !== "0" ? "The file will wait, as chosen below." :
  "To let the file wait for them, choose how long below.";
