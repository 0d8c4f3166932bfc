// What numbers, times and states are called. Nothing here touches the page.

const number = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const whole = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

export function bytes(n) {
  if (n < 1000) return n + (n === 1 ? " byte" : " bytes");
  const units = ["kB", "MB", "GB", "TB", "PB"];
  let i = -1;
  do {
    n /= 1000;
    i++;
  } while (n >= 999.5 && i < units.length - 1);
  return number.format(n) + " " + units[i];
}

export const rate = (bytesPerSecond) => bytes(Math.round(bytesPerSecond)) + "/s";

export function seconds(s) {
  if (s < 0.95) return Math.max(1, Math.round(s * 1000)) + " ms";
  if (s < 59.5) return (s < 10 ? Math.round(s * 10) / 10 : Math.round(s)) + " s";
  if (s < 3600) return Math.round(s / 60) + " min";
  if (s < 86400) return Math.round(s / 3600) + " h";
  return Math.round(s / 86400) + " d";
}

export function left(s) {
  if (s < 1) return "a moment left";
  if (s < 100) return Math.round(s) + " s left";
  return seconds(s) + " left";
}

export function time(iso, now = Date.now()) {
  const at = new Date(iso);
  return Math.abs(now - at) < 18 * 3600e3 ? clock.format(at) : day.format(at);
}

export const fullTime = (iso) => whole.format(new Date(iso));
export const percent = (part, of) => (of > 0 ? Math.min(100, Math.floor((part / of) * 100)) : 100);
export const plural = (n, one, many = one + "s") => n + " " + (n === 1 ? one : many);

export const bare = (jid) => jid.split("/", 1)[0];
export const person = (jid) => bare(jid).split("@")[0] || jid;

// state: [what the chip says, its colour]
export const STATES = {
  local: ["waiting", "busy"],
  uploading: ["uploading", "busy"],
  stalled: ["no network", "warn"],
  done: ["accepted", "good"],
  receiving: ["uploading", "busy"],
  queued: ["queued", "busy"],
  held: ["held", "warn"],
  offering: ["offered", "busy"],
  connecting: ["connecting", "busy"],
  transferring: ["sending", "busy"],
  delivered: ["delivered", "good"],
  link_sent: ["link sent", "good"],
  link_fetched: ["link fetched", "good"],
  failed: ["failed", "bad"],
  cancelled: ["cancelled", "still"],
  expired: ["expired", "bad"],
};

export const SERVER_STATES = Object.keys(STATES).slice(4);

const PROOFS = {
  proxy_accepted: "the proxy took every byte",
  peer_closed: "the client took every byte and closed the stream",
  peer_confirmed: "the client confirmed it",
  hash_confirmed: "the client confirmed its checksum",
};

export const proof = (name) => PROOFS[name] ?? name;

const METHODS = {
  "jingle-s5b": "Jingle file transfer over a SOCKS5 bytestream",
  "si-s5b": "stream initiation, then a SOCKS5 bytestream",
  s5b: "a bare SOCKS5 bytestream",
  "jingle-ibb": "Jingle file transfer inside the XMPP stream",
  "si-ibb": "stream initiation, then inside the XMPP stream",
  ibb: "bare, inside the XMPP stream",
  link: "a link, by message",
};

export const method = (name) => METHODS[name] ?? name;

// By which way the bytes go.
export function path(transfer) {
  const { path: way, streamhost } = transfer.method;
  if (way === "direct") return "directly";
  if (way === "proxy") return "through " + (streamhost ?? "a proxy");
  if (way === "inband") return "inside the XMPP stream";
  return null;
}

function waiting(t) {
  const name = person(t.to);
  if (t.state === "held")
    return `Held until ${name} comes online` + (t.hold_until ? `, until ${time(t.hold_until)} at most` : "");
  if (t.next_attempt_at)
    return `Tries again at ${time(t.next_attempt_at)}: attempt ${t.attempt + 1} of ${t.max_attempts}`;
  return "Waits for its turn";
}

function linkWords(t) {
  const link = t.link;
  if (t.state === "link_fetched") return `Fetched from a link at ${time(link?.fetched ?? t.updated)}`;
  const until = link?.expires ? `, good until ${time(link.expires)}` : "";
  return `A link was sent${link?.at ? ", to " + link.at : ""}${until}`;
}

const STAGES = {
  request: "was asked for", upload: "was uploaded", queue: "waited", resolve: "looked for a device",
  offer: "was offered", connect: "connected", transfer: "was sent", finish: "was finished",
};

function failure(t) {
  const where = STAGES[t.error?.stage] ? ` while it ${STAGES[t.error.stage]}` : "";
  return `Failed${where}${t.attempt > 1 ? `, after ${t.attempt} attempts` : ""}`;
}

// The state of a transfer in a sentence.
export function sentence(t) {
  const name = person(t.to);
  switch (t.state) {
    case "receiving": return "On its way to the gateway";
    case "queued":
    case "held": return waiting(t);
    case "offering": return t.method.name ? `Offered to ${name}; waits for a yes` : `Looks for a device of ${name}`;
    case "connecting": return `${name} said yes; opens the stream`;
    case "transferring": return `On its way to ${name} ${path(t) ?? ""}`.trim();
    case "delivered": {
      const took = t.finished ? `, ${seconds((new Date(t.finished) - new Date(t.created)) / 1000)} after it came` : "";
      return `Delivered ${path(t) ?? ""}`.trim() + took;
    }
    case "link_sent":
    case "link_fetched": return linkWords(t);
    case "cancelled": return "Cancelled" + (t.finished ? " at " + time(t.finished) : "");
    case "expired": return "Its time to live is over";
    default: return failure(t);
  }
}

// The API's own hints speak of its parameters; here they are fields.
const HINTS = {
  recipient_offline: "Send it again, and choose how long to wait if nobody is online. The gateway sees who has it as a contact.",
};

export const hint = (error) => HINTS[error.code] ?? error.hint;

const STEPS = {
  disco: ["What can you do?", "This is what I can do"],
  presence: ["Are you there?", "I am online"],
  streamhosts: ["These are the ways to connect"],
  "streamhost-used": [null, "I am connected this way"],
  "candidate-used": [null, "I am connected this way"],
  "candidate-error": [null, "I reach none of these"],
  "si accepted": [null, "Yes, send it"],
  "si refused": [null, "No"],
  "session accepted": [null, "Yes, send it"],
  "session refused": [null, "No"],
  "session ended": [null, "That was it"],
  "socks5 connect": ["Connects by SOCKS5", "Connected by SOCKS5"],
  activate: ["Let the bytes through"],
  activated: [null, "They go through now"],
  "first byte": ["The first byte"],
  "upload slot": ["A place to put the file?", "Put it here"],
  upload: ["The file", "Stored"],
  link: ["A message with the link"],
  caption: ["The caption, as a message"],
  received: [null, "I have all of it"],
  checksum: ["The checksum"],
  range: [null, "I have some of it already"],
  "upload complete": ["All of the file is here"],
  "upload aborted": ["The upload broke off"],
  delivered: ["Delivered"],
  "link sent": ["The link is sent"],
  "link fetched": ["The link was fetched"],
  "given up": ["Given up"],
  held: ["Held"],
  "hold over": ["Held long enough"],
  waiting: ["Waits before the next attempt"],
  retry: ["Asked to try again"],
  "gateway restarted": ["The gateway was restarted"],
};

// What a step of the timeline means to somebody who does not know the protocol; null: its own name says it.
export function step(s) {
  if (s.step.startsWith("offer ")) return "Do you want this file?";
  if (s.outcome && s.outcome !== "ok") {
    if (s.step === "streamhost-used" || s.step === "socks5 connect") return "That did not connect";
    if (s.direction === "received" && s.step !== "si refused" && s.step !== "session refused") return null;
  }
  return STEPS[s.step]?.[s.direction === "received" ? 1 : 0] ?? null;
}
