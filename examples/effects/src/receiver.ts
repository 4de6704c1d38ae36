// A receiver of a webhook: PORT, WEBHOOK_SECRET (or two with a comma between them, while they are rotated), WEBHOOK and DATABASE_URL are in the environment.
import { createServer, type IncomingMessage } from "node:http";
import { hasCode, verifyWebhook } from "@chatcore/client";
import { Effects } from "./effects.js";

const { PORT = "8080", WEBHOOK_SECRET = "", WEBHOOK = "effects-webhook", DATABASE_URL = "postgres://localhost" } = process.env;
const secrets = WEBHOOK_SECRET.split(",");
const effects = new Effects(DATABASE_URL, WEBHOOK);
await effects.createTables();

const server = createServer(async (request, response) => {
  response.statusCode = await receive(request);
  response.end();
});

/** receive makes the effects of a request's event, and returns the status of the answer. chatcore sends the event again after a 5xx. */
async function receive(request: IncomingMessage): Promise<number> {
  try {
    const chunks: Buffer[] = [];
    for await (const chunk of request) {
      chunks.push(chunk);
    }
    const { event, epoch, isTest } = await verifyWebhook({ secrets, headers: request.headers, body: Buffer.concat(chunks) });
    if (!isTest) {
      await effects.make(event, epoch);
    }
    return 204;
  } catch (error) {
    console.error(String(error));
    return hasCode(error, "unauthenticated") ? 401 : hasCode(error, "invalid_argument") ? 400 : 503;
  }
}

server.listen(Number(PORT), "127.0.0.1", () => console.log(`listening on ${PORT}`));
for (const signal of ["SIGINT", "SIGTERM"]) {
  process.once(signal, () => server.close(() => void effects.close()));
}
