// The list of transfers: cards, filters, older ones, and what its buttons do.

import { $, announce, arrange, el, set, text } from "./dom.js";
import { Problem } from "./api.js";
import { cancelTransfer, retryTransfer } from "./upload.js";
import { Card } from "./card.js";
import { SERVER_STATES, STATES } from "./words.js";

// A page that came by plain HTTP has no clipboard to write to; what is selected can be copied there too.
async function copyText(words) {
  if (navigator.clipboard) return navigator.clipboard.writeText(words);
  const before = document.activeElement;
  const area = el("textarea", { class: "unseen", "aria-hidden": "true" });
  area.value = words;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
  before?.focus();
}

export class List {
  constructor(model) {
    this.model = model;
    this.cards = new Map();
    this.due = false; // to be drawn
    this.changed = new Set(); // since it was drawn last
    this.asked = {
      cancel: (entry) => this.cancel(entry),
      retry: (entry) => this.retry(entry),
      copy: (entry) => this.copy(entry),
      opened: (entry, open) => this.opened(entry, open),
    };
    $("filter-state").append(el("option", { value: "" }, "any"),
      ...SERVER_STATES.map((state) => el("option", { value: state }, STATES[state][0])));
    $("filters").addEventListener("submit", (event) => event.preventDefault());
    $("filters").addEventListener("change", () => this.filter());
    $("more").addEventListener("click", () => this.older());
    setInterval(() => this.tick(), 500); // rates and waits change by themselves
  }

  card(entry) {
    let card = this.cards.get(entry.key);
    if (!card) this.cards.set(entry.key, (card = new Card(entry, this.asked)));
    return card;
  }

  // Drawn once, however much has changed by then; with the page in the background not at all.
  draw(entry = null) {
    if (entry) this.changed.add(entry);
    if (this.due) return;
    this.due = true;
    requestAnimationFrame(() => {
      this.due = false;
      const entries = this.model.list();
      for (const key of this.cards.keys()) if (!this.model.entries.has(key)) this.cards.delete(key);
      arrange($("transfers"), entries.map((entry) => {
        const isNew = !this.cards.has(entry.key), card = this.card(entry);
        if (isNew || this.changed.has(entry)) card.update();
        return card.node;
      }));
      this.changed.clear();
      this.drawRest(entries.length);
    });
  }

  drawRest(shown) {
    const active = this.model.active().length;
    const { state, to, since } = this.model.filter;
    document.title = active ? `(${active}) jidpost` : "jidpost";
    set($("more"), "hidden", !this.model.next);
    set($("empty"), "hidden", shown > 0);
    text($("empty"), !this.model.readable ? "This token may send, and not see what was sent before. What you send now is shown here."
      : state || to || since !== null ? "No transfer fits." : "Nothing was sent yet. What you send is shown here, step by step.");
  }

  tick() {
    for (const entry of this.model.active()) this.cards.get(entry.key)?.update();
  }

  ended(entry) {
    announce(this.card(entry).news());
  }

  async filter() {
    const hours = Number($("filter-since").value);
    await this.may(null, () => this.model.setFilter({
      state: $("filter-state").value,
      to: $("filter-to").value.trim().toLowerCase(),
      since: hours ? Date.now() - hours * 3600e3 : null,
    }));
  }

  async older() {
    $("more").disabled = true;
    await this.may(null, () => this.model.loadOlder());
    $("more").disabled = false;
  }

  async cancel(entry) {
    if (entry.transfer) await this.may(entry, async () => this.model.take(await cancelTransfer(entry.transfer.id)));
    else entry.upload.cancel();
    if (!entry.transfer) announce(entry.upload.file.name + " was cancelled");
  }

  async retry(entry) {
    if (entry.transfer) await this.may(entry, async () => this.model.take(await retryTransfer(entry.transfer.id)));
    else entry.upload.again();
    this.draw(entry);
  }

  async copy(entry) {
    const url = `${location.origin}/#${entry.transfer.id}`;
    await copyText(url);
    announce("The link to this transfer was copied");
    this.card(entry).copied();
  }

  // A button of an entry: not twice, and what went wrong is shown with it.
  async may(entry, act) {
    if (entry?.busy) return;
    if (entry) Object.assign(entry, { busy: true, problem: null });
    this.draw(entry);
    try {
      await act();
    } catch (error) {
      if (!(error instanceof Problem)) return;
      if (entry) entry.problem = error;
      else this.model.told.trouble(error);
    } finally {
      if (entry) entry.busy = false;
      this.draw(entry);
    }
  }

  // The address leads back to what is open.
  opened(entry, open) {
    const hash = "#" + entry.transfer.id;
    if (open || location.hash === hash) history.replaceState(null, "", open ? hash : location.pathname);
  }

  // Of a link to this page.
  async show(id) {
    try {
      const entry = this.model.find(id) ?? (await this.model.look(id));
      const card = this.card(entry);
      card.toggle(true);
      this.draw();
      requestAnimationFrame(() => {
        card.node.scrollIntoView({ block: "nearest" });
        card.more.node.focus({ preventScroll: true });
      });
    } catch (error) {
      if (error instanceof Problem) this.model.told.trouble(error);
    }
  }
}
