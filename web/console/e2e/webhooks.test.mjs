// A webhook with a local receiver: created, tested, signed, failing, retried, paused and rotated.
import assert from "node:assert/strict";
import { createHmac, randomBytes } from "node:crypto";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { faults, isTooWide, openPage, output, post, startBrowser, startCore, startRedis, until } from "./harness.mjs";

let redis, core, browser, opened, receiver, secret;
let status = 200;
const received = [];

before(async () => {
  receiver = createServer((request, response) => {
    let body = "";
    request.on("data", (data) => (body += data));
    request.on("end", () => {
      received.push({ headers: request.headers, body });
      response.writeHead(status);
      response.end(status === 200 ? "taken" : "no");
    });
  });
  await new Promise((resolve) => receiver.listen(0, "127.0.0.1", resolve));
  redis = await startRedis();
  const webhooks = ["--webhooks-keys", randomBytes(32).toString("base64"), "--webhooks-allow", "127.0.0.1", "--webhooks-allow-http"];
  core = await startCore(["--partitions", "2", ...webhooks], { REDIS_URL: redis.url });
  browser = await startBrowser();
  await post(core.url, "chatcore.v1.ChatService/CreateChat", { chatId: "yard", actorId: "ada", commandId: "c1", title: "Yard", memberIds: ["ben"] });
  opened = await openPage(browser, `${core.url}/#/webhooks`);
});

after(async () => {
  await browser?.close();
  await core?.stop();
  await redis?.close();
  receiver?.close();
});

const send = (id, content) => post(core.url, "chatcore.v1.MessageService/SendMessage", { chatId: "yard", actorId: "ada", messageId: id, content });
const card = () => opened.page.locator(".webhook");

test("a webhook is created, and its secret shown once", async () => {
  const { page } = opened;
  await page.getByText("There is no webhook yet").waitFor();
  await page.getByRole("button", { name: "Create a webhook" }).first().click();
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("textbox", { name: /^Name/ }).fill("search");
  await dialog.getByRole("textbox", { name: /^URL/ }).fill(`http://127.0.0.1:${receiver.address().port}/hook`);
  await dialog.getByRole("button", { name: "Create", exact: true }).click();
  secret = await dialog.locator(".secret code").innerText();
  assert.match(secret, /^whsec_/);
  await dialog.getByRole("button", { name: "I have kept it" }).click();
  await card().getByText("up", { exact: true }).waitFor();
  assert.equal(await page.getByText(secret).count(), 0);
});

test("a test reaches the receiver, signed with the secret", async () => {
  await card().getByRole("button", { name: "Test" }).click();
  await card().getByText("The endpoint took the test").waitFor();
  const { headers, body } = received.find(({ body }) => body.includes("webhook:test"));
  const key = Buffer.from(secret.replace("whsec_", ""), "base64");
  const want = createHmac("sha256", key).update(`${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${body}`).digest("base64");
  assert.equal(headers["webhook-signature"], `v1,${want}`);
});

test("an event that the receiver refuses is a dead letter, and is retried", async () => {
  const { page } = opened;
  status = 400;
  await send("m1", "refused at first");
  await card().locator("tr", { hasText: "400" }).first().waitFor();
  await card().getByRole("link", { name: "lag and dead letters" }).click();
  const letter = page.locator(".letter").first();
  await letter.waitFor();
  status = 200;
  await letter.getByRole("button", { name: "Retry" }).click();
  await page.getByText("No dead letters").waitFor();
  await until("the receiver has the event", () => received.some(({ body }) => body.includes("refused at first")));
  await page.getByRole("link", { name: "Webhooks" }).click();
  await card().locator("tr", { hasText: "yard, seq" }).locator(".badge-good").first().waitFor();
});

test("a pause keeps events back", async () => {
  await card().getByRole("button", { name: "Pause" }).click();
  await card().locator(".badge", { hasText: "paused" }).waitFor();
  await card().getByRole("button", { name: "Resume" }).click();
  await send("m2", "after the pause");
  await until("the receiver has the event", () => received.some(({ body }) => body.includes("after the pause")));
});

test("the secret is rotated", async () => {
  const { page } = opened;
  await card().getByRole("button", { name: "Rotate the secret" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Rotate", exact: true }).click();
  const renewed = await page.getByRole("dialog").locator(".secret code").innerText();
  assert.notEqual(renewed, secret);
  await page.getByRole("button", { name: "I have kept it" }).click();
  await card().getByText("the secret before signs until").waitFor();
});

for (const [look, options] of Object.entries({
  light: { colorScheme: "light" },
  dark: { colorScheme: "dark" },
  phone: { colorScheme: "light", width: 390, height: 844 },
  "phone-dark": { colorScheme: "dark", width: 390, height: 844 },
})) {
  test(`webhooks, ${look}`, async () => {
    const { page, errors, close } = await openPage(browser, `${core.url}/#/webhooks`, options);
    await page.locator(".webhook tbody tr").first().waitFor();
    await page.screenshot({ path: `${output}webhooks-${look}.png` });
    assert.equal(await isTooWide(page), false, "the page is wider than its window");
    assert.equal((await faults(page)).join("\n"), "");
    assert.deepEqual(errors, []);
    await close();
  });
}

test("no error is in the browser's console, and no request left the origin", () => {
  assert.deepEqual(opened.errors, []);
  assert.deepEqual(opened.foreign, []);
});
