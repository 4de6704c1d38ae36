import { createClient, hasCode, newId } from "@chatcore/client";
import type { Report } from "./program.js";

/** retries calls a server that carries each call out, and breaks the connection instead of its first response. */
export async function retries(url: string, token: string): Promise<Report> {
  const faults: string[] = [];
  const client = createClient({ url, token });
  const chatId = `retries-${newId()}`;
  try {
    await client.chats.create({ chatId, actorId: "ada" });
    for (let i = 1; i <= 5; i++) {
      const sent = await client.messages.send({ chatId, actorId: "ada", content: `note ${i}` });
      if (!sent.duplicate || sent.seq !== i + 1) {
        faults.push(`note ${i}: ${JSON.stringify(sent)}`); // its first attempt was carried out
      }
    }
    await client.messages.sendMany([{ chatId, actorId: "ada", content: "note 6" }, { chatId, actorId: "ada", content: "note 7" }]);
    await client.chats.addMember({ chatId, actorId: "ada", userId: "ben" });
    const seqs = (await client.log.listEvents({ chatId, oldest: true }).all()).map((event) => `${event.seq} ${event.type}`);
    const want = ["1 chat:update", ...[2, 3, 4, 5, 6, 7, 8].map((seq) => `${seq} message:new`), "9 chat:update"];
    if (seqs.join() !== want.join()) {
      faults.push(`the log has ${seqs.join()}, want ${want.join()}`);
    }
    const opened = await client.sessions.open({ userId: "ben" }).catch((error: unknown) => error);
    if (!hasCode(opened, "unavailable") || opened.retryable) {
      faults.push(`the session: ${String(opened)}`);
    }
  } catch (error) {
    faults.push(String(error));
  }
  return { called: [], faults };
}
