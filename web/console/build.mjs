// Builds dist/: index.html and assets with the hash of their content in their names, and sources.sha256 with the checksum of each file that is part of
// them. `sha256sum -c web/console/dist/sources.sha256` in the root of the repository checks it, as a Go test does.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "vite";

const root = fileURLToPath(new URL(".", import.meta.url));
const repository = resolve(root, "../..");
const client = resolve(repository, "clients/ts/src");
const outDir = resolve(process.argv[2] ?? resolve(root, "dist"));

/** filesUnder returns the files of a folder. */
function filesUnder(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => resolve(entry.parentPath, entry.name));
}

const sources = new Set([...filesUnder(resolve(root, "src")), ...["index.html", "build.mjs", "package.json", "package-lock.json", "tsconfig.json"].map((name) => resolve(root, name))]);

rmSync(outDir, { recursive: true, force: true });
await build({
  root,
  configFile: false,
  logLevel: "warn",
  base: "/",
  publicDir: false,
  resolve: {
    alias: { "@chatcore/client": resolve(client, "index.ts"), "@chatcore/gen": resolve(client, "gen"), "#http2": resolve(client, "http2_none.ts") },
  },
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    outDir,
    emptyOutDir: true,
    target: ["chrome125", "firefox128", "safari18"],
    modulePreload: false,
    sourcemap: false,
    reportCompressedSize: false,
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 400,
  },
  plugins: [
    {
      name: "sources",
      generateBundle() {
        for (const id of this.getModuleIds()) {
          const file = id.split("?")[0];
          if (file.startsWith(client + "/") || file.startsWith(resolve(root, "src") + "/")) {
            sources.add(file);
          }
        }
      },
    },
  ],
});
const lines = [...sources].map((file) => [relative(repository, file).replaceAll("\\", "/"), file]).sort(([a], [b]) => (a < b ? -1 : 1));
writeFileSync(
  resolve(outDir, "sources.sha256"),
  lines.map(([name, file]) => `${createHash("sha256").update(readFileSync(file)).digest("hex")}  ${name}\n`).join(""),
);
