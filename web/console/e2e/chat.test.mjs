// Two users chat side by side on the sample chats of core serve --embedded.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openPage, output, startBrowser, startCore, until } from "./harness.mjs";

let core, browser, opened;

before(async () => {
  core = await startCore(["--embedded"]);
  browser = await startBrowser();
  opened = await openPage(browser, core.url);
});

after(async () => {
  await browser?.close();
  await core?.stop();
});

const pane = (side) => opened.page.locator(`[data-pane=${side}]`);
const message = (side, text) => pane(side).locator("article.message", { hasText: text }).last();
const composer = (side) => pane(side).locator(".composer textarea");
const act = async (side, text, action) => {
  await message(side, text).locator(".bubble").hover();
  await message(side, text).getByRole("button", { name: action, exact: true }).click();
};

test("the page opens on two users in a chat with life in it", async () => {
  await pane("left").getByRole("heading", { name: "Weekend hike" }).waitFor();
  await pane("right").getByRole("heading", { name: "Weekend hike" }).waitFor();
  assert.equal(await pane("left").getByLabel("User of this pane").inputValue(), "ada");
  assert.equal(await pane("right").getByLabel("User of this pane").inputValue(), "ben");
  for (const side of ["left", "right"]) {
    await message(side, "And I have the map").waitFor();
    await pane(side).locator(".feed-live").waitFor();
    await pane(side).locator(".pane-head .dot-online").waitFor();
  }
});

test("typing shows for the other user, and ends with the message", async () => {
  await composer("left").fill("Don't forget");
  await pane("right").getByText("ada is typing").waitFor();
  await pane("right").locator(".chat-item .typing-text").first().waitFor();
  await composer("left").fill("Don't forget the sunscreen");
  await composer("left").press("Enter");
  await message("right", "Don't forget the sunscreen").waitFor();
  await pane("right").getByText("ada is typing").waitFor({ state: "detached" });
  await pane("left").locator(".message-outgoing").waitFor({ state: "detached" });
});

test("a read mark is seen by the sender", async () => {
  await message("left", "the sunscreen").locator(".seen", { hasText: "ben" }).waitFor();
});

test("a message is edited, reacted to, replied to and deleted", async () => {
  await act("left", "the sunscreen", "Edit");
  await composer("left").fill("Don't forget the sunscreen and a hat");
  await composer("left").press("Enter");
  await message("right", "sunscreen and a hat").getByText("edited").waitFor();

  await act("right", "sunscreen and a hat", "React");
  await message("right", "sunscreen and a hat").getByRole("button", { name: "React with 🎉" }).click();
  await message("left", "sunscreen and a hat").getByRole("button", { name: "🎉 1, by ben" }).waitFor();
  await message("right", "sunscreen and a hat").getByRole("button", { name: "🎉 1, by ben" }).click();
  await message("left", "sunscreen and a hat").getByRole("button", { name: "🎉 1, by ben" }).waitFor({ state: "detached" });

  await act("right", "sunscreen and a hat", "Reply");
  await composer("right").fill("Packed. Wrong number of hats though.");
  await composer("right").press("Enter");
  await message("left", "Packed").locator(".quote", { hasText: "sunscreen and a hat" }).waitFor();

  await act("right", "Packed", "Delete");
  await opened.page.getByRole("dialog").getByRole("button", { name: "Delete" }).click();
  await message("left", "Deleted by ben").waitFor();
});

test("a chat is created, its unread messages count, and a member is added", async () => {
  await pane("left").getByRole("button", { name: "Create a chat" }).first().click();
  const dialog = opened.page.getByRole("dialog");
  await dialog.getByLabel("Title").fill("Picnic");
  await dialog.getByLabel("ben").check();
  await dialog.getByRole("button", { name: "Create", exact: true }).click();
  await pane("left").getByRole("heading", { name: "Picnic" }).waitFor();
  await composer("left").fill("Sunday at the lake?");
  await composer("left").press("Enter");
  const item = pane("right").locator(".chat-item", { hasText: "Picnic" });
  await item.getByLabel("1 unread").waitFor();
  await item.click();
  await item.getByLabel("1 unread").waitFor({ state: "detached" });
  await message("left", "Sunday at the lake").locator(".seen", { hasText: "ben" }).waitFor();

  await pane("left").getByRole("button", { name: "2 members" }).click();
  await dialog.getByLabel("Add a member").fill("emil");
  await dialog.getByRole("button", { name: "Add", exact: true }).click();
  await dialog.getByText("3 members").waitFor();
  await dialog.getByRole("button", { name: "Close" }).click();
  await pane("right").getByRole("button", { name: "3 members" }).waitFor();
});

test("a member is muted, banned and let in again", async () => {
  await pane("left").getByRole("button", { name: "3 members" }).click();
  const dialog = opened.page.getByRole("dialog");
  await dialog.getByRole("button", { name: "Mute ben for an hour" }).click();
  await dialog.locator("li", { hasText: "ben" }).getByText("muted until").waitFor();
  await dialog.getByRole("button", { name: "Close" }).click();
  await composer("right").fill("But I want to talk");
  await composer("right").press("Enter");
  await pane("right").locator(".message-outgoing").getByRole("alert").waitFor();
  await pane("right").locator(".message-outgoing").getByRole("button", { name: "Dismiss" }).click();
  const refused = opened.errors.splice(0); // of the send, and of the typing before it
  assert.ok(refused.length > 0 && refused.every((text) => text.includes("status of 403")), refused.join("\n"));
  await pane("left").getByRole("button", { name: "3 members" }).click();
  await dialog.getByRole("button", { name: "Lift the mute of ben" }).click();
  await dialog.getByRole("button", { name: "Mute ben for an hour" }).waitFor();
  await dialog.getByRole("button", { name: "Ban emil" }).click();
  await dialog.locator("li", { hasText: "emil" }).getByText("banned").waitFor();
  await opened.page.screenshot({ path: `${output}moderation.png` });
  await dialog.getByRole("button", { name: "Lift the ban of emil" }).click();
  await dialog.getByText("emil").waitFor({ state: "detached" });
  await dialog.getByRole("button", { name: "Close" }).click();
});

test("two users open their direct chat", async () => {
  await pane("left").getByRole("button", { name: "2 members" }).click();
  await opened.page.getByRole("dialog").getByRole("button", { name: "Message ben directly" }).click();
  await opened.page.getByRole("dialog").waitFor({ state: "detached" });
  await composer("left").fill("Between us: it will rain");
  await composer("left").press("Enter");
  const item = pane("right").locator(".chat-item", { hasText: "Between us" });
  await item.click();
  await message("right", "Between us").waitFor();
  for (const side of ["left", "right"]) {
    await pane(side).locator(".chat-item", { hasText: "Picnic" }).click();
    await pane(side).getByRole("heading", { name: "Picnic" }).waitFor();
  }
});

test("a message has a thread, is pinned, and mentions a user", async () => {
  await act("left", "Sunday at the lake", "Pin");
  await message("right", "Sunday at the lake").getByText("pinned").waitFor();
  await pane("right").getByRole("button", { name: "Pinned messages" }).click();
  const dialog = opened.page.getByRole("dialog");
  await dialog.getByText("Sunday at the lake").waitFor();
  await dialog.locator("footer").getByRole("button", { name: "Close" }).click();

  await act("right", "Sunday at the lake", "Reply in a thread");
  await pane("right").getByRole("heading", { name: "Thread" }).waitFor();
  await composer("right").fill("@ada I bring the boat");
  await composer("right").press("Enter");
  await message("right", "I bring the boat").waitFor();
  const link = message("left", "Sunday at the lake").getByRole("button", { name: "1 reply" });
  await link.waitFor();
  assert.equal(await message("left", "I bring the boat").count(), 0, "the reply is in the thread alone");
  await link.click();
  await pane("left").locator(".message-mentions", { hasText: "I bring the boat" }).waitFor();
  await opened.page.screenshot({ path: `${output}thread.png` });
  for (const side of ["left", "right"]) {
    await pane(side).getByRole("button", { name: "Back to the chat", exact: true }).click();
  }
});

test("a chat is hidden until its next message", async () => {
  const item = pane("right").locator(".chat-item", { hasText: "Picnic" });
  await pane("right").getByRole("button", { name: "Settings of the chat" }).click();
  const dialog = opened.page.getByRole("dialog");
  await dialog.getByText("Favourite").click();
  await dialog.getByText("Hidden").click();
  await dialog.waitFor({ state: "detached" });
  await item.waitFor({ state: "detached" });
  await composer("left").fill("Who brings bread?");
  await composer("left").press("Enter");
  await item.click();
  await message("right", "Who brings bread").waitFor();
});

test("a status of a user is seen by the other one", async () => {
  await pane("left").getByLabel("Status of ada").selectOption("busy");
  await pane("right").getByRole("button", { name: "2 members" }).click();
  const dialog = opened.page.getByRole("dialog");
  await dialog.locator("li", { hasText: "ada" }).getByText("busy").waitFor();
  await dialog.getByRole("button", { name: "Close" }).click();
});

test("messages are reached by the keyboard", async () => {
  const { page } = opened;
  await pane("left").locator(".chat-item", { hasText: "Weekend hike" }).click();
  await message("left", "And I have the map").waitFor();
  await pane("left").getByRole("log").focus();
  await page.keyboard.press("End");
  await page.keyboard.press("ArrowUp");
  await page.keyboard.press("Tab");
  await until("a control of a message has the focus", () => page.evaluate(() => document.activeElement.closest("article.message") !== null && document.activeElement.tagName === "BUTTON"));
});

test("a pane becomes the client of another user", async () => {
  await pane("right").getByLabel("User of this pane").selectOption("cem");
  await pane("right").getByRole("heading", { name: "Weekend hike" }).waitFor();
  await composer("right").fill("Car is washed");
  await composer("right").press("Enter");
  await message("left", "Car is washed").locator(".message-sender", { hasText: "cem" }).waitFor();
});

test("the slider shows the chat as of each event, live", async () => {
  const { page } = opened;
  await page.getByRole("link", { name: "History", exact: true }).click();
  const log = page.getByRole("listbox", { name: "Events" });
  await page.getByLabel("Chat", { exact: true }).selectOption("hike");
  await page.getByText("live", { exact: true }).waitFor();
  const slider = page.getByRole("slider");
  await slider.fill("4");
  const state = page.locator(".state");
  await state.getByText("What shall I brin?").waitFor();
  await log.focus();
  await page.keyboard.press("ArrowDown");
  await state.locator(".changed", { hasText: "What shall I bring?" }).waitFor();
  assert.equal(await state.getByText("dora").count(), 0, "dora is no member yet");
  await slider.fill("7");
  await state.locator(".changed", { hasText: "dora" }).waitFor();
  await slider.fill("14");
  await state.locator(".changed", { hasText: "Deleted by dora: wrong chat" }).waitFor();
  await page.getByText('"reason": "wrong chat"').waitFor();
  await page.getByRole("button", { name: "Last event" }).click();
  const { seq } = await (await fetch(`${core.url}/chatcore.v1.MessageService/SendMessage`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ chatId: "hike", actorId: "dora", messageId: "e2e-live", content: "On my way" }) })).json();
  await state.locator(".changed", { hasText: "On my way" }).waitFor();
  assert.equal(await slider.inputValue(), String(seq));
});

test("no error is in the browser's console, and no request left the origin", () => {
  assert.deepEqual(opened.errors, []);
  assert.deepEqual(opened.foreign, []);
});
