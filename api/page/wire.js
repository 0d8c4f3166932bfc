// Bodies on their way: by XMLHttpRequest, which alone tells how far one has come, with patience for a bad network.

import { Cancelled, Problem, Unreachable, authorization, readProblem, renewToken } from "./api.js";

const SILENCE_MS = 45000; // without a byte leaving, the connection is taken for dead
const PAUSES_MS = [500, 1000, 2000, 4000, 8000, 15000, 30000];

function once(method, path, { headers, body, signal, onprogress }) {
  return new Promise((resolve, reject) => {
    const xhr = new XMLHttpRequest();
    let watch = 0;
    const alive = () => {
      clearTimeout(watch);
      watch = setTimeout(() => xhr.abort(), SILENCE_MS);
    };
    const abort = () => xhr.abort();
    const over = (settle, value) => {
      clearTimeout(watch);
      signal?.removeEventListener("abort", abort);
      settle(value);
    };
    if (signal?.aborted) return reject(new Cancelled());
    signal?.addEventListener("abort", abort);
    xhr.open(method, path);
    for (const [name, value] of Object.entries(headers)) xhr.setRequestHeader(name, value);
    xhr.upload.onprogress = (event) => {
      alive();
      onprogress?.(event.loaded);
    };
    xhr.onload = () => over(resolve, xhr);
    xhr.onerror = () => over(reject, new Unreachable());
    xhr.onabort = () => over(reject, signal?.aborted ? new Cancelled() : new Unreachable());
    alive();
    xhr.send(body ?? null);
  });
}

// Its answer when it is a success, with getResponseHeader() and responseText; else a Problem. What the browser itself
// sets may not be: the length, and Expect.
export async function send(method, path, { headers = {}, body, signal, onprogress } = {}) {
  for (;;) {
    const used = authorization();
    const xhr = await once(method, path, { headers: { ...headers, ...used }, body, signal, onprogress });
    if (xhr.status >= 200 && xhr.status < 300) return xhr;
    const problem = readProblem(xhr.status, xhr.getResponseHeader("Content-Type"), xhr.responseText);
    problem.after = Number(xhr.getResponseHeader("Retry-After")) * 1000 || 0;
    if (xhr.status !== 401) throw problem;
    await renewToken(problem, used);
  }
}

// Worth another try with nothing changed: the network, a gateway that restarts, one that asks to be asked less.
const passes = (problem) =>
  problem instanceof Problem &&
  (problem.status === 0 || [408, 429, 502, 503, 504].includes(problem.status) ||
    problem.code === "idempotency_in_progress" || problem.again === true);

// Until the time is over, or the network is back.
function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const over = (settle, value) => {
      clearTimeout(timer);
      removeEventListener("online", back);
      signal?.removeEventListener("abort", stop);
      settle(value);
    };
    const back = () => over(resolve);
    const stop = () => over(reject, new Cancelled());
    const timer = setTimeout(back, ms);
    if (signal?.aborted) return stop();
    addEventListener("online", back);
    signal?.addEventListener("abort", stop);
  });
}

// Does something until it works or fails for good. once(progressed) calls progressed() when it got anywhere: patience
// begins anew then. onstall(problem, ms): it will be tried again after so long.
export async function persist(once, { signal, onstall }) {
  for (let failed = 0; ; failed++) {
    try {
      return await once(() => (failed = 0));
    } catch (problem) {
      if (!passes(problem)) throw problem;
      const ms = problem.after || PAUSES_MS[Math.min(failed, PAUSES_MS.length - 1)];
      onstall(problem, ms);
      await pause(ms, signal);
    }
  }
}
