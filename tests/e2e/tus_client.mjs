// Sends a file with tus-js-client, as a page or a script would, and tells on stdout, a JSON line each, what happens.
//
//     node tus_client.mjs '{"endpoint": …, "file": …, "memory": …, "chunk": bytes, "metadata": {…}, "options": {…}}'
//
// stream: not known as a file, and so of no size.
// give_up_at: after so many bytes it is ended.
// memory: a file in which the client keeps the URLs of uploads, to find this one again when it is run anew.
import fs from "node:fs";
import { PassThrough } from "node:stream";
import * as tus from "tus-js-client";

const job = JSON.parse(process.argv[2]);
const tell = (event, more = {}) => console.log(JSON.stringify({ event, ...more }));
const file = fs.createReadStream(job.file);
let transfer = null;

const upload = new tus.Upload(job.stream ? file.pipe(new PassThrough()) : file, {
  endpoint: job.endpoint,
  chunkSize: job.chunk,
  uploadSize: job.stream ? undefined : fs.statSync(job.file).size,
  metadata: job.metadata ?? {},
  headers: job.headers ?? {},
  retryDelays: Array(100).fill(200),
  urlStorage: job.memory ? new tus.FileUrlStorage(job.memory) : undefined,
  storeFingerprintForResuming: Boolean(job.memory),
  fingerprint: async () => job.file,
  onChunkComplete: (_size, accepted) => {
    tell("accepted", { bytes: accepted });
    if (job.give_up_at && accepted >= job.give_up_at) upload.abort(true).then(() => tell("aborted"));
  },
  onUploadUrlAvailable: () => tell("url", { url: upload.url }),
  onShouldRetry: (error) => {
    tell("retry", { status: error.originalResponse?.getStatus() ?? 0 });
    return true;
  },
  onAfterResponse: (_request, response) => {
    transfer = response.getHeader("Transfer-Location") ?? transfer;
  },
  onSuccess: () => tell("done", { url: upload.url, transfer }),
  onError: (error) => {
    tell("error", { text: String(error) });
    process.exitCode = 1;
  },
  ...job.options,
});

const earlier = job.memory ? await upload.findPreviousUploads() : [];
if (earlier.length > 0) {
  tell("resume", { url: earlier[0].uploadUrl });
  upload.resumeFromPreviousUpload(earlier[0]);
}
upload.start();
