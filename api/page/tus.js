// Uploads that go on where they broke off: tus 1.0 (https://tus.io/protocols/resumable-upload), as much as it takes.

import { Problem, random, request } from "./api.js";
import { keep, recall } from "./keep.js";
import { persist, send } from "./wire.js";

const PLACE = "/v1/uploads";
const PIECE = 32 * 1024 * 1024; // of one PATCH: what a proxy in front may have to hold
const VERSION = { "Tus-Resumable": "1.0.0" };

let offered = false;

// Whether the gateway takes such uploads, as GET /v1 says.
export const offerTus = (is) => (offered = is);
export const tusOffered = () => offered;

const base64 = (text) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));

function metadata(pairs) {
  return Object.entries(pairs)
    .filter(([, value]) => value !== "" && value !== null && value !== undefined)
    .map(([key, value]) => `${key} ${base64(value)}`)
    .join(",");
}

const place = (xhr) => new URL(xhr.getResponseHeader("Location"), location.href);

function offsetOf(xhr) {
  const offset = Number(xhr.getResponseHeader("Upload-Offset") ?? NaN);
  if (!Number.isSafeInteger(offset)) throw new Problem({ title: "The gateway does not say how much it has" }, 502);
  return offset;
}

// The same file for the same recipient, chosen again after the page was closed, goes on as well.
const nameOf = (file, pairs) =>
  "upload." + [file.name, file.size, file.lastModified, ...Object.values(pairs)].join("|");

const underWay = new Set(); // the names of those

// pairs: the Upload-Metadata. Promises where the transfer is. options: headers of each request, signal,
// onprogress(bytes), onstall(problem, ms).
export async function tusUpload(file, pairs, { headers, signal, onprogress, onstall }) {
  const first = nameOf(file, pairs);
  const name = underWay.has(first) ? `${first}|${random()}` : first; // asked for twice, it is sent twice
  const all = { ...VERSION, ...headers };
  let url = recall(name), offset = null, transfer = null;

  const create = async () => {
    const xhr = await send("POST", PLACE, {
      headers: { ...all, "Upload-Length": String(file.size), "Upload-Metadata": metadata(pairs) }, signal,
    });
    const at = place(xhr);
    url = at.pathname + at.search; // by the way that we came, whatever the gateway takes its address for
    keep(name, url);
    transfer = xhr.getResponseHeader("Transfer-Location");
    return 0;
  };
  const look = async () => {
    try {
      const xhr = await send("HEAD", url, { headers: all, signal });
      transfer = xhr.getResponseHeader("Transfer-Location");
      return offsetOf(xhr);
    } catch (problem) {
      if (![403, 404, 410].includes(problem.status)) throw problem;
      return create(); // it is over, or another token's
    }
  };
  const patch = async () => {
    const from = offset, piece = file.slice(from, from + PIECE);
    const xhr = await send("PATCH", url, {
      headers: { ...all, "Content-Type": "application/offset+octet-stream", "Upload-Offset": String(from) },
      body: piece, signal, onprogress: (sent) => onprogress(from + sent),
    });
    transfer = xhr.getResponseHeader("Transfer-Location") ?? transfer;
    return offsetOf(xhr);
  };

  underWay.add(name);
  try {
    await persist(async (progressed) => {
      offset = url === null ? await create() : await look();
      onprogress(offset);
      while (offset < file.size) {
        try {
          offset = await patch();
        } catch (problem) {
          // It is elsewhere than we thought, or gone, or still being written to: look again.
          problem.again = [404, 409, 410, 423, 460].includes(problem.status);
          throw problem;
        }
        onprogress(offset);
        progressed();
      }
      if (transfer === null) offset = await look();
    }, { signal, onstall });
  } catch (error) {
    if (!(error instanceof Problem)) drop(url, all, name); // it was cancelled
    throw error;
  } finally {
    underWay.delete(name);
  }
  keep(name, null);
  return transfer;
}

function drop(url, headers, name) {
  keep(name, null);
  if (url !== null) request("DELETE", url, { headers }).catch(() => {});
}
