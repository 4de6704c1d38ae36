import { readFile } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";

const files: { [path: string]: [file: string, type: string] } = {
  "/": ["../page.html", "text/html; charset=utf-8"],
  "/chat_client.js": ["chat_client.js", "text/javascript"],
};

/** serveFiles answers with the page of the demo. Socket.IO answers its own paths. */
export async function serveFiles(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const path = request.url?.split("?")[0] ?? "/";
  if (path.startsWith("/socket.io/")) {
    return;
  }
  const found = files[path];
  if (found === undefined) {
    response.writeHead(404).end();
    return;
  }
  const [file, type] = found;
  response.writeHead(200, { "Content-Type": type }).end(await readFile(new URL(file, import.meta.url)));
}
