// A real Chromium at the page, and what every scenario looks at beside its own matter: the console stays silent, and
// axe finds nothing.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

export const options = JSON.parse(process.argv[3]);

// Has the other side do something, and waits until it has.
export async function ask(what, more = {}) {
  console.log(JSON.stringify({ ask: what, ...more }));
  return JSON.parse((await lines.next()).value);
}

export class Visit {
  static async open({ path = "/", ...context } = {}) {
    const visit = new Visit();
    const args = ["--disable-dev-shm-usage"]; // which is small in a container
    if (process.getuid() === 0) args.push("--no-sandbox");
    visit.browser = await chromium.launch({ executablePath: options.chromium, args });
    visit.context = await visit.browser.newContext({ viewport: { width: 1180, height: 860 }, locale: "en-GB", ...context });
    visit.context.setDefaultTimeout(20000);
    visit.said = [];
    visit.expected = []; // what the console may say
    await visit.openPage(path);
    return visit;
  }

  async openPage(path) {
    const page = (this.page = await this.context.newPage());
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) this.said.push(`${message.text()} ${message.location().url}`);
    });
    page.on("pageerror", (error) => this.said.push(String(error.stack)));
    this.cdp = await this.context.newCDPSession(page);
    await page.goto(options.url + path);
  }

  async close() {
    await this.browser.close();
    const said = this.said.filter((line) => !this.expected.some((pattern) => pattern.test(line)));
    assert.deepEqual(said, [], "the console");
  }

  async axe(says) {
    const size = this.page.viewportSize();
    await this.page.setViewportSize({ ...size, height: 4000 }); // what lies under another thing has no colour to compare
    await this.page.evaluate(() => window.scrollTo(0, 0));
    await this.page.evaluate(AXE);
    const { violations, incomplete } = await this.page.evaluate(() => window.axe.run());
    await this.page.setViewportSize(size);
    const told = (found) => found.map(({ id, help, nodes }) =>
      ({ id, help, at: nodes.map((node) => `${node.target.join(" ")}: ${node.failureSummary}`) }));
    assert.deepEqual(told(violations), [], `axe, ${says}`);
    assert.deepEqual(told(incomplete.filter(({ id }) => id === "color-contrast")), [], `axe is not sure, ${says}`);
  }

  // No wider than the window: nothing has to be scrolled sideways to be read.
  async fits(says) {
    const [wide, window] = await this.page.evaluate(() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]);
    assert.ok(wide <= window, `${says}: ${wide} px in a window of ${window}`);
  }

  // Real files from the disk, as a file manager drops them; folders too.
  async drop(...files) {
    const data = { items: [], files, dragOperationsMask: 1 };
    for (const type of ["dragEnter", "dragOver", "drop"]) {
      await this.cdp.send("Input.dispatchDragEvent", { type, x: 600, y: 600, data });
    }
  }

  card(name) {
    return this.page.locator(".transfer", { has: this.page.getByRole("heading", { name, exact: true }) });
  }

  async until(name, chip) {
    await this.card(name).locator(".chip", { hasText: new RegExp(`^${chip}$`) }).first().waitFor();
  }

  press(name, action) {
    return this.card(name).getByRole("button", { name: new RegExp("^" + action) }).click();
  }

  async send(to, ...files) {
    await this.page.getByLabel("Recipient").first().fill(to);
    await this.page.locator("#files").setInputFiles(files);
    await this.page.getByRole("button", { name: /^Send / }).click();
  }

  // Bytes a second on the way to the gateway; null: no limit.
  async network(rate) {
    await this.cdp.send("Network.enable");
    await this.cdp.send("Network.emulateNetworkConditions", {
      offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: rate ?? -1,
    });
  }

  async picture(name) {
    if (!options.pictures) return;
    await this.page.evaluate(() => document.activeElement?.blur());
    await this.page.mouse.move(5, 500);
    await this.page.waitForTimeout(400); // of its transitions
    await this.page.screenshot({ path: `${options.pictures}/${name}.png` });
  }
}
