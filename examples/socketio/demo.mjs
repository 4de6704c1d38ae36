// Starts core serve with its data in memory, and two instances of the Socket.IO server on it. Ctrl-C ends them.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { createClient } from "@chatcore/client";

/** start runs a program until the demo ends, and returns the address that it prints. */
function start(program, args, options = {}) {
  const child = spawn(program, args, { stdio: ["ignore", "pipe", "inherit"], ...options });
  child.on("exit", () => process.exit());
  process.on("exit", () => child.kill());
  return new Promise((resolve) => createInterface({ input: child.stdout }).on("line", (line) => line.startsWith("http") && resolve(line)));
}
for (const signal of ["SIGINT", "SIGTERM"]) {
  process.on(signal, () => process.exit());
}

const core = await start("go", ["run", "./cmd/core", "serve", "--embedded", "--listen", "127.0.0.1:0"], { cwd: new URL("../..", import.meta.url) });
await createClient({ url: core }).chats.create({ chatId: "garden", actorId: "ada", title: "Garden", memberIds: ["ben", "cleo"] });
for (const [port, userId] of [["3001", "ada"], ["3002", "ben"]]) {
  const address = await start("node", [new URL("dist/main.js", import.meta.url).pathname], { env: { ...process.env, CHATCORE_URL: core, PORT: port } });
  console.log(`${address}/?user=${userId}&chat=garden`);
}
