// What a person does with the page; test_page.py says which rule each shows, and looks at what arrived.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { Visit, ask, options } from "./browser.mjs";

const { to, files } = options;

export async function twoFilesAreDropped() {
  const v = await Visit.open();
  await v.page.getByText("Nothing was sent yet").waitFor();
  await v.axe("empty");
  await v.drop(...files);
  await v.page.getByText("2 files added").waitFor({ state: "attached" });
  await v.page.getByLabel("Recipient").first().fill(to);
  await v.page.getByText("Online: desk").waitFor();
  await v.page.getByText("Would be sent by si-s5b").waitFor();
  await v.page.getByText("What would be tried, in order").click();
  await v.page.getByText("the client does not announce what it needs").first().waitFor();
  await v.axe("chosen, and the recipient known");
  await v.page.getByRole("button", { name: /^Send 2 files/ }).click();
  for (const name of files.map((file) => basename(file))) await v.until(name, "delivered");
  await v.card(basename(files[0])).getByText(/^Delivered directly/).waitFor();
  await v.axe("delivered");
  await v.press(basename(files[0]), "Steps");
  const steps = await v.card(basename(files[0])).getByRole("listitem").allTextContents();
  for (const step of ["offer si-s5b", "si accepted", "streamhosts", "streamhost-used", "delivered"]) {
    assert.ok(steps.some((text) => text.includes(step)), `${step} in ${steps}`);
  }
  await v.axe("with its steps");
  await v.page.emulateMedia({ colorScheme: "dark" });
  await v.axe("dark");
  await v.page.emulateMedia({ colorScheme: "light" });
  for (const theme of ["light", "dark"]) {
    await v.page.getByRole("button", { name: /^Theme/ }).click();
    assert.equal(await v.page.locator("html").getAttribute("data-theme"), theme);
  }
  await v.axe("dark by choice");
  await v.page.setViewportSize({ width: 360, height: 740 });
  await v.fits("on a phone");
  await v.axe("on a phone");
  await v.close();
}

export async function aFolderIsDropped() {
  const v = await Visit.open({ path: "/#to=" + encodeURIComponent(to) });
  await v.page.getByText("Online: desk").waitFor();
  await v.drop(...files);
  const paths = v.page.locator("#chosen .path");
  await paths.nth(2).waitFor();
  assert.deepEqual((await paths.allTextContents()).sort(), options.paths);
  await v.page.getByRole("button", { name: "Leave out " + options.paths[0] }).click();
  await v.page.getByRole("button", { name: /^Send 2 files/ }).click();
  for (const path of options.paths.slice(1)) await v.until(basename(path), "delivered");
  await v.close();
}

export async function oneIsCancelled() {
  const v = await Visit.open();
  const [held, other] = files.map((file) => basename(file));
  await v.send(to, ...files);
  await v.until(held, "sending");
  await v.until(other, "sending");
  await v.press(held, "Steps");
  await v.card(held).locator(".flow").waitFor();
  await v.axe("while bytes flow");
  await v.card(held).getByRole("button", { name: /^Cancel/ }).press("Enter");
  await v.until(held, "cancelled");
  assert.equal(await v.page.evaluate(() => document.activeElement.tagName), "BUTTON", "the focus is not lost");
  await ask("go");
  await v.until(other, "delivered");
  await v.close();
}

export async function theNetworkIsLost() {
  const v = await Visit.open();
  v.expected = [/net::ERR_(CONNECTION|EMPTY|NETWORK|INCOMPLETE)/];
  const name = basename(files[0]), card = v.card(name);
  const root = await v.page.evaluate(() => fetch("/v1").then((answer) => answer.json()));
  const offsets = [], mode = (name) => v.page.locator(`#live[data-mode="${name}"]`).waitFor();
  v.page.on("request", (request) => {
    if (request.method() === "PATCH") offsets.push(Number(request.headers()["upload-offset"]));
  });
  await mode(root.links.events ? "live" : "asking");
  await v.network(options.rate);
  await v.send(to, ...files);
  const bar = card.getByRole("progressbar", { name: "Upload" });
  await v.page.waitForFunction((node) => Number(node.getAttribute("aria-valuenow")) >= 20, await bar.elementHandle());
  await v.axe("while it is uploaded");
  await ask("cut");
  await card.getByText(/^Waits for the network; tries again/).waitFor();
  await v.until(name, "no network");
  await mode("lost");
  await v.axe("without a network");
  await v.network(null);
  await ask("mend");
  await v.until(name, "delivered");
  await mode(root.links.events ? "live" : "asking");
  assert.equal(await v.page.locator(".transfer").count(), 1, "one transfer came of it");
  if (root.links.uploads && options.large) {
    assert.equal(offsets[0], 0);
    assert.ok(offsets.at(-1) > 0, `it went on where it was: ${offsets}`);
  }
  await v.close();
}

export async function theGatewayIsRestarted() {
  const v = await Visit.open();
  v.expected = [/net::ERR_(CONNECTION|EMPTY|NETWORK|INCOMPLETE)/, /status of 503/];
  const [before, after] = files.map((file) => basename(file));
  const mode = (...names) => v.page.locator(names.map((name) => `#live[data-mode="${name}"]`).join()).waitFor();
  await v.send(to, files[0]);
  await v.until(before, "sending");
  await ask("stop");
  await mode("lost");
  await v.send(to, files[1]);
  await v.until(after, "no network");
  await ask("start");
  await mode("live", "asking");
  await v.until(before, "delivered");
  await v.until(after, "delivered");
  await v.close();
}

export async function aFailedOneIsTriedAgain() {
  const v = await Visit.open();
  const name = basename(files[0]);
  await v.send(to, ...files);
  await v.until(name, "failed");
  await v.card(name).getByText("The recipient is offline").waitFor();
  await v.axe("failed");
  await ask("come");
  await v.press(name, "Try again");
  await v.until(name, "delivered");
  assert.equal(await v.card(name).getByText("The recipient is offline").count(), 0);
  await v.close();
}

export async function historyIsFiltered() {
  const v = await Visit.open();
  const cards = v.page.locator(".transfer");
  const count = async (n, says) => {
    await v.page.waitForFunction((n) => document.querySelectorAll(".transfer").length === n, n)
      .catch(async () => assert.equal(await cards.count(), n, says));
  };
  await count(30, "a page of them");
  await v.page.getByRole("button", { name: "Show older" }).click();
  await count(options.all, "all of them");
  assert.equal(await v.page.getByRole("button", { name: "Show older" }).count(), 0);
  await v.page.getByLabel("State").selectOption("delivered");
  await count(options.delivered, "the delivered");
  await v.page.getByLabel("State").selectOption("");
  await count(30, "any again");
  const recipient = v.page.getByRole("search").getByLabel("Recipient");
  await recipient.fill(options.other);
  await recipient.press("Enter");
  await count(options.others, "of one recipient");
  await v.page.getByLabel("Since").selectOption("1");
  await count(options.others, "of the last hour");
  await v.page.getByLabel("State").selectOption("cancelled");
  await v.page.getByText("No transfer fits.").waitFor();
  await v.axe("nothing fits");
  await v.openPage("/#" + options.one);
  await v.page.locator(".step", { hasText: "given up" }).waitFor(); // of an old one, by its link
  await v.close();
}

export async function aTokenIsAskedForOnce() {
  const v = await Visit.open();
  v.expected = [/status of 401/, /status of 403.*(events|inbox)/];
  const dialog = v.page.getByRole("dialog");
  const give = async (token) => {
    await dialog.getByLabel("Token").fill(token);
    await dialog.getByRole("button", { name: "Use this token" }).click();
  };
  await dialog.waitFor();
  await v.axe("asking for a token");
  await v.page.keyboard.press("Escape");
  assert.ok(await dialog.isVisible(), "it stays until there is a token");
  await give("white space");
  await dialog.getByText("A token has no spaces").waitFor();
  await give("jp_ci-1_notTheOneThatIsKnownHere");
  await dialog.getByText("The token is not accepted").waitFor();
  await v.axe("a wrong token");
  await give(options.token);
  await dialog.waitFor({ state: "hidden" });
  await v.page.getByText("online").first().waitFor();
  await v.send(to, ...files);
  await v.until(basename(files[0]), "delivered");
  await v.page.reload();
  await v.until(basename(files[0]), "delivered");
  assert.equal(await dialog.isVisible(), false, "it is kept");
  assert.ok(!(await v.page.content()).includes(options.token));
  await v.page.getByRole("button", { name: "Forget token" }).click();
  await dialog.waitFor();
  assert.equal(await v.page.evaluate(() => localStorage.getItem("jidpost.token")), null);
  await v.close();
}

// The gateway's answers about its inbox are the test's own here: the first file is there, the second comes.
export async function theInboxIsReadAndEmptied() {
  const v = await Visit.open({ path: "/problems" });
  v.expected = [/net::ERR_INCOMPLETE/];
  const hostile = "Größe <img src=x onerror=alert(1)> &amp;.txt";
  const file = (n, name) => ({
    id: "in_" + String(n).padStart(26, "0"), object: "inbox_item", state: "received", final: true,
    from: "romeo@example.net/orchard", to: "gw@example.org", file: { name, size: 5, type: "text/html", sha256: null },
    caption: "But <b>soft</b>", received: "2026-11-22T19:00:00.000Z", created: "2026-11-22T19:00:00.000Z",
    links: { self: `/v1/inbox/in_${String(n).padStart(26, "0")}`, content: `/v1/inbox/in_${String(n).padStart(26, "0")}/content` },
  });
  let items = [file(1, hostile)], told = 0;
  await v.context.route("**/v1/inbox**", (route) => {
    const path = new URL(route.request().url()).pathname, method = route.request().method();
    if (path === "/v1/inbox") return route.fulfill({ json: { items, next: null } });
    if (path.endsWith("/content")) return route.fulfill({ body: "hello", contentType: "application/octet-stream" });
    assert.equal(method, "DELETE");
    items = items.filter((item) => item.links.self !== path);
    return route.fulfill({ json: {} });
  });
  await v.context.route("**/v1/events", (route) => {
    if (told++ > 0) return route.continue();
    const second = file(2, "second.txt");
    items = [second, ...items];
    const data = JSON.stringify({ type: "inbox.received", timestamp: second.received, data: { item: second } });
    return route.fulfill({ contentType: "text/event-stream", body: `retry: 3000\n\nid: a-1\nevent: inbox.received\ndata: ${data}\n\n` });
  });
  await v.openPage("/");
  const inbox = v.page.getByRole("region", { name: "Inbox" });
  const row = (name) => inbox.getByRole("listitem").filter({ has: v.page.getByRole("heading", { name, exact: true }) });
  await row("second.txt").waitFor();
  await row(hostile).getByText("5 bytes from romeo@example.net").waitFor();
  await row(hostile).getByText("But <b>soft</b>").waitFor();
  assert.deepEqual((await inbox.getByRole("heading", { level: 3 }).allTextContents()), ["second.txt", hostile]);
  await v.axe("with files in the inbox");
  const download = v.page.waitForEvent("download");
  await row("second.txt").getByRole("button", { name: /^Save/ }).click();
  const saved = await download;
  assert.equal(saved.suggestedFilename(), "second.txt");
  assert.equal(readFileSync(await saved.path(), "utf8"), "hello");
  const dialog = v.page.getByRole("dialog", { name: /^Delete Größe </ });
  await row(hostile).getByRole("button", { name: /^Delete/ }).click();
  await dialog.waitFor();
  await v.axe("asking whether to delete");
  await dialog.getByRole("button", { name: "Keep it" }).click();
  await dialog.waitFor({ state: "hidden" });
  await row(hostile).getByRole("button", { name: /^Delete/ }).click();
  await dialog.getByRole("button", { name: "Delete it" }).click();
  await row(hostile).waitFor({ state: "detached" });
  await v.page.setViewportSize({ width: 360, height: 740 });
  await v.fits("on a phone");
  await v.page.setViewportSize({ width: 1180, height: 860 });
  await row("second.txt").getByRole("button", { name: /^Delete/ }).click();
  await v.page.getByRole("button", { name: "Delete it" }).click();
  await inbox.waitFor({ state: "hidden" }); // nothing is left
  assert.deepEqual(items, []);
  await v.close();
}

// Without a mouse: from the top of the page to a file that has arrived.
export async function theKeyboardIsEnough() {
  const v = await Visit.open();
  const { page } = v;
  const seen = [];
  page.on("filechooser", () => {}); // from now on it is caught, and not only when the key is down
  const tabTo = async (name) => {
    for (let i = 0; i < 40; i++) {
      await page.keyboard.press("Tab");
      const at = await page.evaluate(() => {
        const node = document.activeElement, style = getComputedStyle(node);
        return {
          name: (node.getAttribute("aria-labelledby")?.split(" ").map((id) => document.getElementById(id).textContent).join(" "))
            ?? node.getAttribute("aria-label") ?? node.labels?.[0]?.textContent ?? node.textContent,
          ring: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1,
        };
      });
      seen.push(at.name.trim());
      assert.ok(at.ring, `the focus is seen at ${at.name}`);
      if (at.name.trim().startsWith(name)) return;
    }
    assert.fail(`${name} is not reached: ${seen}`);
  };
  await tabTo("Skip to sending");
  await tabTo("Choose files");
  const chooser = page.waitForEvent("filechooser");
  await page.keyboard.press("Enter");
  await (await chooser).setFiles(files);
  await page.getByRole("button", { name: /^Send 1 file/ }).waitFor();
  if ((await page.evaluate(() => document.activeElement.id)) !== "to") await tabTo("Recipient");
  await page.keyboard.type(to);
  await page.keyboard.press("Escape"); // the list of those before
  await tabTo("Caption");
  await page.keyboard.type("typed");
  await tabTo("Send 1 file");
  await page.keyboard.press("Enter");
  const name = basename(files[0]);
  await v.until(name, "delivered");
  await tabTo("Steps " + name);
  await page.keyboard.press("Enter");
  await v.card(name).getByText("si accepted").waitFor();
  assert.equal(await v.card(name).getByRole("button", { name: /^Steps/ }).getAttribute("aria-expanded"), "true");
  await page.getByText(`${name} was delivered to`).waitFor({ state: "attached" }); // said aloud
  await v.close();
}

export async function aStreamMeansTheSameWhereverItIsCut() {
  const v = await Visit.open();
  const wrong = await v.page.evaluate(async () => {
    const { EventReader } = await import("/page/live.js");
    const text = ": ping\n\nid: a-1\nevent: transfer.created\ndata: {\"a\":\ndata: 1}\n\nretry: 3000\r\n\r\ndata:x\r\rid\nevent: reset\ndata\n\n";
    const read = (pieces) => {
      const events = [], reader = new EventReader((event) => events.push(event));
      pieces.forEach((piece) => reader.feed(piece));
      return JSON.stringify(events);
    };
    const whole = read([text]), bad = [];
    for (let i = 0; i <= text.length; i++) {
      for (let j = i; j <= text.length; j++) {
        const cut = read([text.slice(0, i), text.slice(i, j), text.slice(j)]);
        if (cut !== whole) bad.push([i, j, cut]);
      }
    }
    return { whole: JSON.parse(whole), bad: bad.slice(0, 3) };
  });
  assert.deepEqual(wrong.bad, []);
  assert.deepEqual(wrong.whole, [
    { type: "transfer.created", data: '{"a":\n1}', id: "a-1" },
    { type: "message", data: "x" },
    { type: "reset", data: "", id: "" },
  ]);
  await v.close();
}

// What the README shows. The files and people are those of the caller.
export async function pictures() {
  const v = await Visit.open({ viewport: { width: 1100, height: 765 }, reducedMotion: "reduce" });
  for (const [whom, file] of options.scene) {
    await v.send(whom, file);
    await v.card(basename(file)).locator(".chip", { hasText: /delivered|failed|sending|held/ }).first().waitFor();
  }
  await v.page.waitForFunction(() => Number(document.querySelectorAll("[aria-label=Delivery]")[0].getAttribute("aria-valuenow")) > 0);
  await v.page.getByLabel("Recipient").first().fill(to);
  await v.page.getByText("Online: desk").waitFor();
  await v.page.locator("#files").setInputFiles(files);
  await v.press(basename(options.scene[options.open][1]), "Steps");
  await v.page.evaluate(() => scrollTo(0, 0));
  await v.picture("page");
  await v.page.emulateMedia({ colorScheme: "dark" });
  await v.picture("page-dark");
  await v.close();
}
