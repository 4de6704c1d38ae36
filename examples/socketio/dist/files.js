import { readFile } from "node:fs/promises";
const files = {
    "/": ["../page.html", "text/html; charset=utf-8"],
    "/chat_client.js": ["chat_client.js", "text/javascript"],
};
/** serveFiles answers with the page of the demo. Socket.IO answers its own paths. */
export async function serveFiles(request, response) {
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
