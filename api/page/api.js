// The gateway's API: the token, requests, and what went wrong with them.

import { keep, recall } from "./keep.js";

// What the gateway said (RFC 9457), or what the page says in its place.
export class Problem extends Error {
  constructor(body, status) {
    super(body.detail || body.title);
    this.status = status;
    this.code = body.code ?? "unknown";
    this.title = body.title ?? "It did not work";
    this.detail = body.detail ?? null;
    this.hint = body.hint ?? null;
    this.retryable = body.retryable ?? false;
    this.transfer = body.transfer ?? null;
  }
}

// No answer: the network is away, or the gateway is.
export class Unreachable extends Problem {
  constructor() {
    super({
      code: "unreachable",
      title: "The gateway does not answer",
      detail: "Either the network is away, or the gateway is not running.",
      retryable: true,
    }, 0);
  }
}

export class Cancelled extends Error {}

let asking = null; // the promise of a token
let askFor = () => Promise.reject(new Cancelled());

// How a token is asked for: a function of what to say, that promises one.
export const askTokenBy = (ask) => (askFor = ask);
export const hasToken = () => recall("token") !== null;
export const forgetToken = () => keep("token", null);

export function authorization() {
  const token = recall("token");
  return token === null ? {} : { Authorization: "Bearer " + token };
}

// Once for everybody who needs it. used: the headers that were refused; if they are no longer ours, another has asked.
export function renewToken(problem, used) {
  if (asking) return asking;
  if (used && used.Authorization !== authorization().Authorization) return Promise.resolve();
  asking = askFor(problem).then((token) => keep("token", token)).finally(() => (asking = null));
  return asking;
}

// Visible ASCII, any other byte would not go into a header.
export const tokenFits = (text) => /^[\x21-\x7e]{1,512}$/.test(text);

export async function problemOf(response) {
  const body = await response.text().catch(() => "");
  return readProblem(response.status, response.headers.get("Content-Type"), body);
}

export function readProblem(status, type, text) {
  let body = null;
  try {
    if (/json/.test(type ?? "")) body = JSON.parse(text);
  } catch {
    // cut short
  }
  return new Problem(body ?? { title: "The gateway answered " + status, retryable: status >= 500 }, status);
}

// One request. Its answer if that is a success or 304, else a Problem. "omit": no password window of the browser's own.
export async function request(method, path, { headers = {}, body, signal } = {}) {
  for (;;) {
    const used = authorization();
    let response;
    try {
      response = await fetch(path, {
        method, body, signal, credentials: "omit", cache: "no-store", redirect: "error",
        headers: { Accept: "application/json", ...headers, ...used },
      });
    } catch (error) {
      if (error.name === "AbortError") throw new Cancelled();
      throw new Unreachable();
    }
    if (response.ok || response.status === 304) return response;
    const problem = await problemOf(response);
    if (response.status !== 401) throw problem;
    await renewToken(problem, used);
  }
}

export async function get(path, options) {
  const response = await request("GET", path, options);
  try {
    return await response.json();
  } catch {
    throw new Unreachable(); // it broke off
  }
}

export const segment = (value) => encodeURIComponent(value).replaceAll("%40", "@");

export function query(parameters) {
  const given = Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return given.length ? "?" + new URLSearchParams(given).toString().replaceAll("+", "%20") : "";
}

// Also where the page came by plain HTTP, and crypto.randomUUID is not there.
export function random() {
  return [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
