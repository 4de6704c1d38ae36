// Each page in light, in dark and at the width of a phone: without faults for axe, without errors, and as a picture in output.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { faults, isTooWide, openPage, output, startBrowser, startCore } from "./harness.mjs";

let core, browser;

before(async () => {
  core = await startCore(["--embedded"]);
  browser = await startBrowser();
});

after(async () => {
  await browser?.close();
  await core?.stop();
});

const looks = {
  light: { colorScheme: "light" },
  dark: { colorScheme: "dark" },
  phone: { colorScheme: "light", width: 390, height: 844 },
  "phone-dark": { colorScheme: "dark", width: 390, height: 844 },
};

const pages = {
  chat: { hash: "", ready: (page) => page.locator("[data-pane=left] article.message").last().waitFor() },
  history: { hash: "#/history/hike/13", ready: (page) => page.locator(".state .changed").waitFor() },
  groups: { hash: "#/groups", ready: (page) => page.locator(".chart canvas").waitFor() },
  sessions: {
    hash: "#/sessions/ada",
    ready: async (page) => {
      await page.getByRole("button", { name: "Open one" }).click();
      await page.getByRole("dialog").getByRole("button", { name: "Done" }).click();
      await page.locator(".session").first().waitFor();
    },
  },
  health: { hash: "#/health", ready: (page) => page.getByRole("heading", { name: "Findings" }).waitFor() },
  api: {
    hash: "#/api/chatcore.v1.MessageService/ListMessages",
    ready: async (page) => {
      await page.getByRole("button", { name: "Send" }).click();
      await page.getByLabel("Answer", { exact: true }).waitFor();
    },
  },
};

for (const [look, options] of Object.entries(looks)) {
  for (const [name, { hash, ready }] of Object.entries(pages)) {
    test(`${name}, ${look}`, async () => {
      const { page, errors, foreign, close } = await openPage(browser, `${core.url}/${hash}`, options);
      await ready(page);
      await page.evaluate(() => document.fonts.ready);
      await page.screenshot({ path: `${output}${name}-${look}.png` });
      assert.equal(await isTooWide(page), false, "the page is wider than its window");
      assert.equal((await faults(page)).join("\n"), "");
      assert.deepEqual(errors, []);
      assert.deepEqual(foreign, []);
      await close();
    });
  }
}

// docs/console-chat.png and docs/console-history.png are these.
test("the pictures of README.md", async () => {
  const size = { width: 1280, height: 760 };
  const chat = await openPage(browser, core.url, size);
  await chat.page.locator("[data-pane=right] article.message").last().waitFor();
  await chat.page.locator("[data-pane=right] .composer textarea").fill("Rolls are in the ov");
  await chat.page.locator("[data-pane=left]").getByText("ben is typing").waitFor();
  await chat.page.screenshot({ path: `${output}console-chat.png` });
  await chat.close();
  const history = await openPage(browser, `${core.url}/#/history/hike/12`, size);
  await history.page.locator(".state .changed").waitFor();
  await history.page.screenshot({ path: `${output}console-history.png` });
  await history.close();
});

test("a user picker, a dialog and the actions of a message have no faults", async () => {
  const { page, close } = await openPage(browser, core.url);
  const left = page.locator("[data-pane=left]");
  await left.locator("article.message").last().locator(".bubble").click();
  await left.getByRole("button", { name: "4 members" }).click();
  await page.getByRole("dialog").waitFor();
  await page.screenshot({ path: `${output}members-light.png` });
  assert.equal((await faults(page)).join("\n"), "");
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await left.getByRole("button", { name: "Create a chat" }).first().click();
  await page.screenshot({ path: `${output}create-light.png` });
  assert.equal((await faults(page)).join("\n"), "");
  await close();
});
