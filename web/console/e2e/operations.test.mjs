// Groups, dead letters, sessions, health and the API explorer on a Redis that is stopped and started again.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openPage, output, post, startBrowser, startCore, startRedis, until } from "./harness.mjs";

let redis, core, browser, opened;

before(async () => {
  redis = await startRedis();
  core = await startCore(["--partitions", "2", "--retry-attempts", "1"], { REDIS_URL: redis.url });
  browser = await startBrowser();
  await post(core.url, "chatcore.v1.ChatService/CreateChat", { chatId: "yard", actorId: "ada", commandId: "c1", title: "Yard", memberIds: ["ben"] });
  opened = await openPage(browser, `${core.url}/#/groups`);
});

after(async () => {
  await browser?.close();
  await core?.stop();
  await redis?.close();
});

const send = (id, content) => post(core.url, "chatcore.v1.MessageService/SendMessage", { chatId: "yard", actorId: "ada", messageId: id, content });

test("a dead letter is shown with its payload and retried", async () => {
  const { page } = opened;
  await until("the chat's creation is handled", async () => {
    const { groups } = await post(core.url, "chatcore.admin.v1.GroupService/ListGroups", {});
    return groups.every(({ lag }) => lag === undefined);
  });
  await redis.command("SET", "chat:unread:ben", "of another program");
  await send("m1", "the reason is another program's value");
  const letter = page.locator(".letter").first();
  await letter.waitFor();
  await letter.locator(".letter-toggle").click();
  await letter.getByText("chat:unread:ben").first().waitFor();
  await letter.getByText('"m1"').waitFor();
  await page.screenshot({ path: `${output}dead-letter-light.png`, fullPage: true });
  await redis.command("DEL", "chat:unread:ben");
  await letter.getByRole("button", { name: "Retry" }).click();
  await page.getByText("No dead letters").waitFor();
});

test("partitions have an owner, and throughput is drawn", async () => {
  const { page } = opened;
  const rows = page.locator("table", { hasText: "partitions" }).locator("tbody tr");
  await rows.first().waitFor();
  assert.ok((await rows.count()) >= 2);
  await page.locator(".chart canvas").waitFor();
  await Promise.all(Array.from({ length: 40 }, (_, i) => send(`rate-${i}`, "one of many").catch(() => undefined)));
  await until("finished events show", async () => (await rows.locator("td:nth-child(5)").allInnerTexts()).some((text) => Number(text.replace(/\D/g, "")) > 20));
  await page.screenshot({ path: `${output}groups-busy-light.png` });
});

test("a group is rebuilt once that is confirmed", async () => {
  const { page } = opened;
  await page.getByRole("button", { name: "Rebuild" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Rebuild" }).click();
  await page.getByRole("dialog").waitFor({ state: "detached" });
});

test("sessions are opened, listed and closed", async () => {
  const { page } = opened;
  await page.getByRole("link", { name: "Sessions" }).click();
  await page.getByRole("button", { name: "ada", exact: true }).click();
  await page.getByText("ada is not logged in").waitFor();
  await page.getByRole("button", { name: "Open one" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Done" }).click();
  await page.locator(".session").getByRole("button", { name: "Close" }).click();
  await page.getByRole("dialog").locator("footer").getByRole("button", { name: "Close" }).click();
  await page.getByText("ada is not logged in").waitFor();
});

test("every method of the API is there, and one is called", async () => {
  const { page } = opened;
  await page.getByRole("link", { name: "API", exact: true }).click();
  await page.getByLabel("Find a method").fill("chat create");
  await page.getByRole("link", { name: "CreateChat" }).click();
  await page.getByRole("button", { name: "Send" }).click();
  await page.getByLabel("Answer", { exact: true }).getByText('"changed"').waitFor();
  assert.match(await page.getByLabel("curl line", { exact: true }).innerText(), /curl http.*CreateChat[\s\S]*--json '\{"chat_id":"picnic"/);
});

test("no error is in the browser's console, and no request left the origin", () => {
  assert.deepEqual(opened.errors, []);
  assert.deepEqual(opened.foreign, []);
});

test("a restart of Redis is survived in view", async () => {
  const { page } = opened;
  await page.getByRole("link", { name: "Chat", exact: true }).click();
  const pane = (side) => page.locator(`[data-pane=${side}]`);
  await pane("left").locator(".chat-item", { hasText: "Yard" }).click();
  await pane("right").locator(".chat-item", { hasText: "Yard" }).click();
  await pane("right").locator(".feed-live").waitFor();
  await redis.stop();
  await pane("left").locator(".composer textarea").fill("Written while Redis is down");
  await pane("left").locator(".composer textarea").press("Enter");
  await pane("left").locator(".message-outgoing", { hasText: "Written while Redis is down" }).waitFor();
  await redis.start();
  const retry = pane("left").locator(".message-outgoing").getByRole("button", { name: "Try again" });
  await until("the message arrives", async () => {
    if (await retry.isVisible()) {
      await retry.click().catch(() => undefined);
    }
    return pane("right").locator("article.message", { hasText: "Written while Redis is down" }).isVisible();
  });
  assert.equal(await pane("right").locator("article.message", { hasText: "Written while Redis is down" }).count(), 1, "it is sent once");
  await pane("right").locator(".composer textarea").fill("And after it");
  await pane("right").locator(".composer textarea").press("Enter");
  await pane("left").locator("article.message", { hasText: "And after it" }).waitFor();
});
