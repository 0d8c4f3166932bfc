// Reads lines {"secret", "headers", "body"} and checks each as a receiver does, by the package standardwebhooks; prints
// one line for each: what the body says, or why it is refused.
import { createInterface } from "node:readline";
import { Webhook } from "standardwebhooks";

for await (const line of createInterface({ input: process.stdin })) {
    const { secret, headers, body } = JSON.parse(line);
    try {
        console.log(JSON.stringify({ verified: new Webhook(secret).verify(body, headers) }));
    } catch (error) {
        console.log(JSON.stringify({ refused: error.message }));
    }
}
