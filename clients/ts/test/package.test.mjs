import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { test } from "node:test";
import { build } from "esbuild";

const root = fileURLToPath(new URL("..", import.meta.url));

test("the package has what is built, and nothing else", () => {
  const [{ files }] = JSON.parse(execFileSync("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], { cwd: root, encoding: "utf8" }));
  const paths = files.map(({ path }) => path);
  assert.deepEqual(paths.filter((path) => !path.startsWith("dist/")).sort(), ["README.md", "package.json"]);
  assert.deepEqual(paths.filter((path) => !/\.(js|d\.ts)$/.test(path)).sort(), ["README.md", "package.json"]);
  for (const path of ["index.js", "index.d.ts", "consumer.js", "webhook.d.ts", "http2.js", "http2_none.js", "gen/chatcore/consumer/v1/consumer_pb.js"]) {
    assert.ok(paths.includes(`dist/${path}`), path);
  }
});

test("a bundle for browsers has no module of Node, and one for Node has HTTP/2", async () => {
  const bundle = async (platform) => {
    const { outputFiles } = await build({ entryPoints: [`${root}dist/index.js`], bundle: true, format: "esm", platform, write: false, logLevel: "error" });
    return outputFiles[0].text;
  };
  assert.doesNotMatch(await bundle("browser"), /node:http2|from "http2"/);
  assert.match(await bundle("node"), /http2/);
});

test("the declarations need none of Node", () => {
  const seen = new Set();
  const visit = (path) => {
    if (!seen.has(path)) {
      seen.add(path);
      const text = readFileSync(`${root}dist/${path}`, "utf8");
      assert.doesNotMatch(text, /from "(@connectrpc\/connect-node|node:)/, path);
      for (const [, name] of text.matchAll(/from "\.\/(\w+)\.js"/g)) {
        visit(`${name}.d.ts`);
      }
    }
  };
  visit("index.d.ts");
  assert.ok(seen.has("consumer.d.ts") && seen.has("webhook.d.ts"));
});
