// Opens a page in Chromium and prints what its script reports: browser.mjs PLAYWRIGHT CHROMIUM URL.
import { pathToFileURL } from "node:url";

const [playwright, executablePath, url] = process.argv.slice(2);
const { chromium } = await import(pathToFileURL(playwright));
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
try {
  const page = await browser.newPage();
  page.on("console", (message) => console.error(message.text()));
  page.on("pageerror", (error) => console.error(error));
  await page.goto(url);
  await page.waitForFunction("globalThis.report !== undefined", undefined, { timeout: 120_000 });
  console.log(JSON.stringify(await page.evaluate("globalThis.report")));
} finally {
  await browser.close();
}
