// Sign-in with tokens: of a service with few scopes, and of a user.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { faults, isTooWide, openPage, output, startBrowser, startCore } from "./harness.mjs";

let core, browser, folder, all, reader;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "chatcore-e2e-"));
  const file = join(folder, "tokens.json");
  const token = (id, ...scopes) =>
    execFileSync(process.env.CHATCORE_CORE, ["token", "create", id, "--file", file, ...scopes.flatMap((scope) => ["--scope", scope])], { stdio: ["ignore", "pipe", "ignore"] }).toString().trim();
  all = token("console", "chats:read", "chats:write", "presence", "sessions", "admin", "webhooks");
  reader = token("reader", "chats:read");
  core = await startCore(["--embedded", "--tokens-file", file]);
  browser = await startBrowser();
});

after(async () => {
  await browser?.close();
  await core?.stop();
  rmSync(folder, { recursive: true, force: true });
});

const signIn = async (page, token) => {
  await page.getByLabel("Token").fill(token);
  await page.getByRole("button", { name: "Sign in" }).click();
};

for (const [look, options] of Object.entries({ light: { colorScheme: "light" }, dark: { colorScheme: "dark" }, phone: { colorScheme: "light", width: 390, height: 844 } })) {
  test(`the sign-in, ${look}`, async () => {
    const { page, errors, close } = await openPage(browser, core.url, options);
    await page.getByRole("heading", { name: "Sign in to chatcore" }).waitFor();
    await page.screenshot({ path: `${output}sign-in-${look}.png` });
    assert.equal(await isTooWide(page), false, "the page is wider than its window");
    assert.equal((await faults(page)).join("\n"), "");
    assert.deepEqual(errors, []);
    await close();
  });
}

test("a wrong token is refused, a service signs in, reloads and signs out", async () => {
  const { page, close } = await openPage(browser, core.url);
  await signIn(page, "cc_console_wrong");
  await page.getByText("This token is not valid").waitFor();
  await signIn(page, all);
  await page.locator("[data-pane=right] article.message").last().waitFor();
  const [cookie] = await page.context().cookies();
  assert.ok(cookie.httpOnly && cookie.sameSite === "Strict" && !cookie.value.includes(all), JSON.stringify(cookie));
  await page.reload();
  await page.getByText("service console").waitFor();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("heading", { name: "Sign in to chatcore" }).waitFor();
  await close();
});

test("a service sees what it lacks the scope for", async () => {
  const { page, close } = await openPage(browser, core.url);
  await signIn(page, reader);
  await page.locator("[data-pane=left] article.message").last().waitFor();
  await page.locator("[data-pane=left] .composer textarea").fill("May I?");
  await page.locator("[data-pane=left] .composer textarea").press("Enter");
  await page.getByText("chats:write").waitFor();
  await page.getByRole("link", { name: "Groups" }).click();
  await page.getByText("You may not do this").waitFor();
  await page.getByText("for services with the scope admin").waitFor();
  await close();
});

test("a user is the client of itself alone", async () => {
  const opened = await fetch(`${core.url}/chatcore.v1.SessionService/OpenSession`, {
    method: "POST",
    headers: { "Content-Type": "application/json", Authorization: `Bearer ${all}` },
    body: JSON.stringify({ userId: "ben" }),
  });
  const { page, close } = await openPage(browser, core.url);
  await signIn(page, (await opened.json()).token);
  await page.getByText("user ben").waitFor();
  await page.locator("[data-pane=only] article.message").last().waitFor();
  assert.equal(await page.locator(".pane").count(), 1);
  await page.locator("[data-pane=only] .composer textarea").fill("From my own session");
  await page.locator("[data-pane=only] .composer textarea").press("Enter");
  await page.locator("[data-pane=only] article.message-mine", { hasText: "From my own session" }).waitFor();
  await page.screenshot({ path: `${output}user-light.png` });
  await page.getByRole("link", { name: "History", exact: true }).click();
  await page.locator(".state .changed").waitFor();
  await close();
});
