// The page at /: what its parts are told of each other.

import { $, icon, set, text } from "./dom.js";
import { Problem, askTokenBy, forgetToken, get, hasToken, tokenFits } from "./api.js";
import { Inbox } from "./inbox.js";
import { keep, recall } from "./keep.js";
import { List } from "./list.js";
import { Live } from "./live.js";
import { Model } from "./model.js";
import { SendForm } from "./send.js";
import { offerTus } from "./tus.js";
import { Upload } from "./upload.js";

const ACTIVE_MS = 1000, IDLE_MS = 8000; // between questions, where there is no stream of events
const QUIET_MS = 3000; // after which a transfer under way is looked at by itself
const HIDDEN_MS = 60000; // in the background for so long, the page listens no more

const model = new Model({
  changed(entry) {
    list.draw(entry);
    if (entry.transfer && !entry.final) soon();
  },
  removed: () => list.draw(),
  listed: () => list.draw(),
  ended: (entry) => list.ended(entry),
  trouble: (problem) => trouble(problem),
});
const list = new List(model);
const inbox = new Inbox();
const form = new SendForm({ send: (file, path, options) => send(file, path, options) });

function send(file, path, options) {
  const upload = new Upload(file, path, options, (changed) => model.uploadChanged(changed));
  model.addUpload(upload);
}

// ---- the token

askTokenBy((problem) => new Promise((resolve) => {
  const dialog = $("token-dialog");
  text($("token-error"), problem.code === "auth_missing" ? "" : problem.title + ".");
  $("token-form").onsubmit = (event) => {
    const token = $("token").value.trim();
    if (!tokenFits(token)) {
      event.preventDefault();
      text($("token-error"), "A token has no spaces, and letters of the Latin alphabet alone.");
      return;
    }
    $("token").value = "";
    resolve(token);
    queueMicrotask(showToken);
  };
  dialog.oncancel = (event) => event.preventDefault(); // there is nothing to see without one
  if (!dialog.open) dialog.showModal();
}));

function showToken() {
  set($("token-forget"), "hidden", !hasToken());
}

$("token-forget").addEventListener("click", () => {
  forgetToken();
  location.reload();
});

// ---- what is wrong with all of it

function trouble(problem) {
  const words = problem && [problem.title + ".", problem.detail, problem.hint].filter(Boolean).join(" ");
  set($("banner"), "hidden", !problem);
  text($("banner"), words ?? "");
}

function showMode(mode) {
  const words = { live: "Live", lost: "Reconnecting…", asking: "Refreshing" }[mode];
  set($("live"), "data-mode", mode);
  text($("live"), words);
}

async function showSession() {
  try {
    const session = await get("/v1/xmpp");
    const online = session.state === "online";
    set($("session"), "data-state", session.state);
    text($("session"), `${session.jid ?? "gateway"}: ${session.state}`);
    trouble(online || !session.advice ? null
      : { title: "The gateway is not connected to its XMPP server", detail: session.advice, hint: "What you send is kept until it is." });
  } catch (error) {
    if (error instanceof Problem && error.status !== 0) text($("session"), "");
  }
}

// ---- news, by the stream or by asking

const live = new Live({
  event(type, data) {
    if (data.transfer) model.take(data.transfer);
    if (data.item) inbox.received(data.item);
    if (type.startsWith("xmpp.")) showSession();
  },
  reset: () => refresh(true),
  mode(mode) {
    showMode(mode);
    if (mode === "asking") ask();
  },
});

async function refresh(active) {
  if (inbox.there) inbox.load();
  try {
    await model.load();
    if (active) await model.lookAtActive();
  } catch (error) {
    if (error instanceof Problem && error.status !== 0 && error.status !== 403) trouble(error);
  }
}

let asking = false, idle = false;
let soon = () => {}; // ends a long pause between two questions

const between = (ms) => new Promise((resolve) => {
  const timer = setTimeout(resolve, ms);
  soon = () => {
    if (!idle) return;
    clearTimeout(timer);
    setTimeout(resolve, ACTIVE_MS);
  };
});

async function ask() {
  if (asking) return;
  asking = true;
  for (let turn = 0; ; turn++) {
    const busy = model.active().some((entry) => entry.transfer);
    if (!document.hidden) {
      try {
        if (turn % 5 === 0 || !busy) await model.load().catch((problem) => problem.status === 403 || Promise.reject(problem));
        if (busy) await model.lookAtActive();
        if (turn % 5 === 0 && inbox.there) await inbox.load();
        showMode("asking");
      } catch (error) {
        if (error.status === 0) showMode("lost");
      }
      if (turn % 20 === 19) await showSession();
    }
    idle = !busy;
    await between(busy ? ACTIVE_MS : IDLE_MS);
  }
}

// The stream does not tell of bytes that have stopped, nor how far they came.
setInterval(() => {
  if (!asking && !document.hidden) model.lookAtActive(QUIET_MS).catch(() => {});
}, QUIET_MS);

let hiding = 0;

document.addEventListener("visibilitychange", () => {
  clearTimeout(hiding);
  if (asking) return;
  if (document.hidden) hiding = setTimeout(() => live.pause(), HIDDEN_MS);
  else live.start();
});

// ---- light and dark

const THEMES = ["system", "light", "dark"];

function showTheme(theme) {
  document.documentElement.dataset.theme = theme;
  $("theme").replaceChildren(icon(theme));
  set($("theme"), "aria-label", `Theme: ${theme}. Change it`);
  set($("theme"), "title", `Theme: ${theme}`);
}

$("theme").addEventListener("click", () => {
  const theme = THEMES[(THEMES.indexOf(document.documentElement.dataset.theme) + 1) % THEMES.length];
  keep("theme", theme === "system" ? null : theme);
  showTheme(theme);
});

// ---- from the start

addEventListener("beforeunload", (event) => {
  if (model.active().some((entry) => entry.upload && !entry.upload.over)) event.preventDefault();
});

function follow() {
  const { hash } = location;
  if (/^#tr_[0-9A-Z]{26}$/.test(hash)) list.show(hash.slice(1));
  else if (hash.startsWith("#to=")) form.setRecipient(decodeURIComponent(hash.slice(4)));
}

addEventListener("hashchange", follow);

async function begin() {
  showTheme(recall("theme", "system"));
  showToken();
  let links;
  try {
    const root = await get("/v1");
    links = root.links;
    form.configure(root);
    offerTus(Boolean(links.uploads));
    text($("version"), "jidpost " + root.version);
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    trouble(error);
    setTimeout(begin, 3000);
    return;
  }
  showToken();
  trouble(null);
  showSession();
  if (links.inbox) await inbox.load();
  if (links.events) live.start();
  else ask();
  follow();
}

begin();
