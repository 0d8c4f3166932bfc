// The reference page in a real browser: every operation of openapi.yaml is there, and one is tried out.
//
//     node docs.mjs --url http://127.0.0.1:8080 --token TOKEN --operations 17
//
// Status 0, or a sentence that says what was not so.
import assert from "node:assert/strict";
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";

const text = { type: "string" };
const { values: given } = parseArgs({ options: { url: text, token: text, operations: text } });
const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox", "--disable-dev-shm-usage"] });
try {
  const page = await browser.newPage();
  const complaints = [];
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("request", (request) => request.url().startsWith(given.url) || request.url().startsWith("data:") ||
    complaints.push(`asks another site: ${request.url()}`));

  await page.goto(given.url + "/problems");
  await page.getByRole("link", { name: "recipient_offline" }).click();
  await page.getByRole("heading", { name: "The recipient is offline" }).waitFor();

  await page.evaluate((token) => localStorage.setItem("jidpost.token", token), given.token);
  await page.getByRole("link", { name: "API" }).click();
  await page.locator(".opblock").nth(Number(given.operations) - 1).waitFor();
  assert.equal(await page.locator(".opblock").count(), Number(given.operations), "more is shown than there is");

  const root = page.locator("#operations-gateway-getXmpp");
  await root.locator(".opblock-summary-control").click();
  await root.getByRole("button", { name: "Execute" }).click();
  const status = root.locator(".live-responses-table .response-col_status").nth(1);
  await status.waitFor();
  assert.match(await status.innerText(), /^200/, "trying it out with the kept token did not work");
  assert.deepEqual(complaints, []);
} finally {
  await browser.close();
}
