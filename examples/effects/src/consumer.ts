// A consumer of a pull group: CHATCORE_URL (one address, or several with commas between them), CHATCORE_TOKEN, GROUP and DATABASE_URL are in the environment.
import { createClient } from "@chatcore/client";
import { Effects } from "./effects.js";

const { CHATCORE_URL = "http://127.0.0.1:7460", CHATCORE_TOKEN, GROUP = "effects", DATABASE_URL = "postgres://localhost" } = process.env;
const effects = new Effects(DATABASE_URL, GROUP);
await effects.createTables();
const client = createClient({ url: CHATCORE_URL.split(","), token: CHATCORE_TOKEN });
const consumer = client.consume(GROUP, ({ event, epoch }) => effects.make(event, epoch), {
  credit: 16,
  onError: (error) => console.error(String(error)),
  onStateChange: (state, error) => console.log(state, error?.message ?? ""),
});
for (const signal of ["SIGINT", "SIGTERM"]) {
  process.once(signal, () => void consumer.close());
}
await consumer.done.finally(() => effects.close());
