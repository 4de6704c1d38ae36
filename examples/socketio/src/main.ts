// One instance: PORT, CHATCORE_URL (one address, or several with commas between them) and CHATCORE_TOKEN are in the environment.
import { createServer } from "node:http";
import { createClient } from "@chatcore/client";
import { serveFiles } from "./files.js";
import { serveChat } from "./server.js";

const { PORT = "0", CHATCORE_URL = "http://127.0.0.1:7460", CHATCORE_TOKEN } = process.env;
const http = createServer(serveFiles);
const chat = serveChat(http, createClient({ url: CHATCORE_URL.split(","), token: CHATCORE_TOKEN }));
http.listen(Number(PORT), "127.0.0.1", () => {
  const { port } = http.address() as { port: number };
  console.log(`http://127.0.0.1:${port}`);
});
for (const signal of ["SIGINT", "SIGTERM"]) {
  process.once(signal, () => void chat.close());
}
await chat.done;
