// What was sent to the gateway: the list, saving one, deleting one. Nothing of it is there for a token without the scope.

import { $, announce, arrange, el, icon, set, text } from "./dom.js";
import { Problem, Unreachable, get, request } from "./api.js";
import { bytes, fullTime, person, time } from "./words.js";

const PAGE = 10;

let count = 0;

function button(name, picture, id, title, onclick) {
  const label = el("span", { id: `${id}-${name.toLowerCase()}` }, name);
  return el("button", { type: "button", class: "quiet small", onclick, "aria-labelledby": `${label.id} ${title}` }, icon(picture), label);
}

class Row {
  constructor(item, asked) {
    const id = "item-" + ++count;
    this.item = item;
    this.busy = false;
    this.save = button("Save", "drop", id, id, () => asked.save(this));
    this.remove = button("Delete", "close", id, id, () => asked.remove(this));
    this.words = el("p", { class: "words" }, item.caption ?? "");
    this.trouble = el("p", { class: "trouble", role: "alert", hidden: true });
    this.node = el("li", { class: "card received" }, el("article", { "aria-labelledby": id },
      el("div", { class: "line" }, el("span", { class: "glyph" }, icon("file")),
        el("div", { class: "names" }, el("h3", { id }, item.file.name),
          el("p", { class: "whom", title: item.from }, `${bytes(item.file.size)} from ${item.from.split("/", 1)[0]}`)),
        el("div", { class: "marks" }, el("time", { datetime: item.received, title: fullTime(item.received) }, time(item.received)))),
      this.trouble,
      el("div", { class: "foot" }, this.words, el("div", { class: "actions" }, this.save, this.remove))));
  }

  // What a button does: not twice at a time, and what went wrong is shown with it.
  async may(act) {
    if (this.busy) return;
    this.setBusy(true);
    try {
      await act();
      set(this.trouble, "hidden", true);
    } catch (error) {
      if (!(error instanceof Problem)) return;
      text(this.trouble, [error.title + ".", error.detail].filter(Boolean).join(" "));
      set(this.trouble, "hidden", false);
    } finally {
      this.setBusy(false);
    }
  }

  setBusy(busy) {
    this.busy = busy;
    for (const node of [this.save, this.remove]) set(node, "aria-disabled", busy ? "true" : null);
  }
}

export class Inbox {
  constructor() {
    this.rows = new Map(); // by the id of the file
    this.next = null; // where older ones are
    this.there = false; // the gateway has an inbox, and the token may see it
    this.asked = { save: (row) => this.save(row), remove: (row) => this.remove(row) };
    $("inbox-more").addEventListener("click", () => this.older());
  }

  draw() {
    const rows = [...this.rows.values()].sort((a, b) => (a.item.id < b.item.id ? 1 : -1));
    arrange($("inbox-items"), rows.map((row) => row.node));
    set($("inbox"), "hidden", rows.length === 0);
    set($("inbox-more"), "hidden", !this.next);
  }

  take(item) {
    if (item.state === "received" && !this.rows.has(item.id)) this.rows.set(item.id, new Row(item, this.asked));
  }

  // As it is now: what was deleted elsewhere goes.
  async load() {
    this.there = true;
    try {
      const page = await get(`/v1/inbox?limit=${PAGE}`);
      const newest = new Set(page.items.map((item) => item.id)), oldest = page.items.at(-1)?.id ?? "";
      for (const id of this.rows.keys()) if (!newest.has(id) && (id > oldest || !page.next)) this.rows.delete(id);
      page.items.forEach((item) => this.take(item));
      if (this.rows.size <= page.items.length) this.next = page.next;
      this.draw();
    } catch (error) {
      if (error.status === 403 || error.status === 404) this.there = false;
      else if (!(error instanceof Problem)) throw error;
    }
  }

  async older() {
    $("inbox-more").disabled = true;
    try {
      const page = await get(this.next);
      page.items.forEach((item) => this.take(item));
      this.next = page.next;
      this.draw();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
    }
    $("inbox-more").disabled = false;
  }

  received(item) {
    if (!this.there) return;
    this.take(item);
    this.draw();
    announce(`${item.file.name} came from ${person(item.from)}`);
  }

  // By hand, for a link sends no token; what the browser saves it under is the name alone.
  save(row) {
    return row.may(async () => {
      const response = await request("GET", row.item.links.content, { headers: { Accept: "*/*" } });
      const content = await response.blob().catch(() => Promise.reject(new Unreachable()));
      const link = el("a", { href: URL.createObjectURL(content), download: row.item.file.name });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60000);
      announce(row.item.file.name + " was saved");
    });
  }

  remove(row) {
    const dialog = $("delete-dialog");
    text($("delete-name"), row.item.file.name);
    dialog.returnValue = "";
    dialog.onclose = () => {
      if (dialog.returnValue === "delete") this.removeNow(row);
    };
    dialog.showModal();
  }

  removeNow(row) {
    return row.may(async () => {
      await request("DELETE", row.item.links.self).catch((problem) => problem.status === 404 || Promise.reject(problem));
      this.rows.delete(row.item.id);
      this.draw();
      announce(row.item.file.name + " was deleted");
    });
  }
}
