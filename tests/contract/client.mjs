// A web service's client, generated from openapi.yaml: uploads a file, and watches it by its events until it is delivered.
//
//     node client.mjs --url http://127.0.0.1:8080 --token TOKEN --to ana@example.org/desk
//
// The types are those that openapi-typescript makes of the description (api.d.ts beside this file, see client_test.sh),
// and tsc holds every line here against them: a path, a parameter or a field that the description does not know is an
// error. Prints one line of JSON for each thing it saw; status 0 when the file was delivered.
import { parseArgs } from "node:util";
import createClient from "openapi-fetch";

const { values: given } = parseArgs({
    options: { url: { type: "string" }, token: { type: "string" }, to: { type: "string" } },
});
if (!given.url || !given.to)
    throw new Error("--url and --to are needed");

/** @type {import("openapi-fetch").Client<import("./api.js").paths>} */
const gateway = createClient({
    baseUrl: given.url,
    headers: given.token ? { Authorization: `Bearer ${given.token}` } : {},
});

/** @param {object} seen */
const tell = (seen) => console.log(JSON.stringify(seen));

/** What a call gave, or its problem as an exception.
 * @template T
 * @param {{data?: T, error?: {code: string, detail: string | null}}} answer
 * @returns {T}
 */
function must({ data, error }) {
    if (error)
        throw new Error(`${error.code}: ${error.detail}`);
    if (data === undefined)
        throw new Error("an answer without a body");
    return data;
}

/** The transfer that an answer is; text it would be only if we had asked for that.
 * @param {import("./api.js").components["schemas"]["Transfer"] | string} body
 */
function transfer(body) {
    if (typeof body === "string")
        throw new Error(`not JSON: ${body}`);
    return body;
}

/** The events of a stream, one after the other; EventSource would not do, for it sends no token.
 * @param {ReadableStream<BufferSource> | null} stream
 * @returns {AsyncGenerator<import("./api.js").components["schemas"]["Event"]>}
 */
async function* events(stream) {
    let rest = "";
    for await (const text of stream?.pipeThrough(new TextDecoderStream()) ?? []) {
        const blocks = (rest + text).split("\n\n");
        rest = blocks.pop() ?? "";
        for (const block of blocks) {
            const data = block.split("\n").find((line) => line.startsWith("data: "));
            if (data)
                yield JSON.parse(data.slice("data: ".length));
        }
    }
}

const root = must(await gateway.GET("/v1"));
tell({ saw: "gateway", version: root.version });

const recipient = must(await gateway.GET("/v1/recipients/{jid}", { params: { path: { jid: given.to } } }));
tell({ saw: "recipient", reachable: recipient.reachable });

const sent = transfer(must(await gateway.PUT("/v1/to/{jid}/{name}", {
    params: { path: { jid: given.to, name: "from a client.txt" }, query: { digest: "sha-256" } },
    body: "made by a generated client\n",
    bodySerializer: (body) => body,
    headers: { "Content-Type": "text/plain" },
})));
tell({ saw: "sent", id: sent.id, state: sent.state });

for await (const event of events(must(await gateway.GET("/v1/transfers/{id}/events", {
    params: { path: { id: sent.id } },
    parseAs: "stream",
}))))
    tell({ saw: "event", type: event.type });

const done = transfer(must(await gateway.GET("/v1/transfers/{id}", {
    params: { path: { id: sent.id }, query: { wait: "60" } },
})));
tell({ saw: "done", state: done.state, method: done.method?.name, steps: done.timeline.length });
if (done.state !== "delivered")
    throw new Error(done.error ? `${done.error.code}: ${done.error.detail}` : done.state);
