// Starts Redis, core and Chromium for the tests of the console.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, connect } from "node:net";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

export const output = fileURLToPath(new URL("output/", import.meta.url));
mkdirSync(output, { recursive: true });

export const patience = 120_000; // for what happens soon, on a busy machine too

const axeSource = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** freePort returns a port of loopback that nobody listens at. */
export async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** until waits for a condition. */
export async function until(what, condition) {
  const end = Date.now() + patience;
  for (;;) {
    const value = await condition();
    if (value) {
      return value;
    }
    assert.ok(Date.now() < end, `not within ${patience} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const ended = (child) => new Promise((resolve) => (child.exitCode === null && child.signalCode === null ? child.once("exit", resolve) : resolve()));

/** startCore runs core serve with arguments, and returns its address and a function that ends it. */
export async function startCore(args, env = {}) {
  const binary = process.env.CHATCORE_CORE;
  assert.ok(binary, "CHATCORE_CORE names no binary of core: run make e2e");
  const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("CHATCORE_") && !name.startsWith("REDIS_")));
  const child = spawn(binary, ["serve", "--listen", "127.0.0.1:0", ...args], { env: { ...clean, ...env }, stdio: ["ignore", "pipe", "pipe"] });
  let out = "";
  let log = "";
  child.stdout.on("data", (data) => (out += data));
  child.stderr.on("data", (data) => (log += data));
  await until("core serves", () => {
    assert.equal(child.exitCode, null, log);
    return out.includes("\n");
  });
  return {
    url: out.trim(),
    log: () => log,
    stop: async () => {
      child.kill("SIGTERM");
      await ended(child);
    },
  };
}

/** startRedis runs a Redis that keeps its data, and can be stopped and started again. */
export async function startRedis() {
  const folder = mkdtempSync(join(tmpdir(), "chatcore-e2e-"));
  const port = await freePort();
  let child;
  const start = async () => {
    child = spawn("redis-server", ["--port", String(port), "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--appendonly", "yes", "--appendfsync", "always"], { stdio: "ignore" });
    await until("Redis answers", async () => (await redisCommand(port, "PING")).startsWith("+PONG"));
  };
  const stop = async () => {
    child.kill("SIGTERM");
    await ended(child);
  };
  await start();
  return {
    url: `redis://127.0.0.1:${port}`,
    start,
    stop,
    command: (...words) => redisCommand(port, ...words),
    close: async () => {
      await stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** redisCommand sends one command, and returns its reply as it is, "" if there is none. */
function redisCommand(port, ...words) {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => socket.write(`*${words.length}\r\n${words.map((word) => `$${Buffer.byteLength(word)}\r\n${word}\r\n`).join("")}`));
    socket.once("data", (data) => (resolve(String(data)), socket.destroy()));
    socket.once("error", () => resolve(""));
  });
}

/** startBrowser runs Chromium. */
export async function startBrowser() {
  const executablePath = ["chromium", "chromium-browser", "google-chrome"].map((name) => spawnSync("sh", ["-c", `command -v ${name}`]).stdout.toString().trim()).find(Boolean);
  assert.ok(executablePath, "no Chromium: run scripts/ensure.sh chromium");
  return chromium.launch({ executablePath, args: ["--no-sandbox"] });
}

/** openPage opens a page of the console. Its errors collects what the browser's console has as an error. */
export async function openPage(browser, url, { colorScheme = "light", width = 1440, height = 900 } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme, locale: "en-GB", reducedMotion: "reduce" });
  const page = await context.newPage();
  page.setDefaultTimeout(patience);
  const errors = [];
  const foreign = [];
  page.on("console", (message) => message.type() === "error" && errors.push(`${message.text()} ${message.location().url}`));
  page.on("pageerror", (error) => errors.push(String(error.stack)));
  page.on("request", (request) => new URL(request.url()).origin !== new URL(url).origin && !request.url().startsWith("data:") && foreign.push(request.url()));
  await page.goto(url);
  return { page, errors, foreign, close: () => context.close() };
}

/** isTooWide reports whether a page has to be scrolled sideways. */
export const isTooWide = (page) =>
  page.evaluate(() => [document.documentElement, document.getElementById("main")].some((element) => element && element.scrollWidth > element.clientWidth));

/** faults returns the serious and critical faults that axe finds on a page. */
export async function faults(page) {
  await page.evaluate(axeSource); // not a script of the page: its policy allows none
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, help, nodes }) => `${id}: ${help}\n${nodes.slice(0, 4).map(({ html, failureSummary }) => `  ${html.slice(0, 200)}\n    ${failureSummary.replace(/\s+/g, " ").slice(0, 300)}`).join("\n")}`);
}

/** post calls a method of the API. */
export async function post(url, method, request) {
  const response = await fetch(`${url}/${method}`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(request) });
  const answer = await response.json();
  assert.ok(response.ok, `${method}: ${JSON.stringify(answer)}`);
  return answer;
}
