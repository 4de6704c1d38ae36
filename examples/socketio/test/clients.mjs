// Real Socket.IO clients on two instances that fail: URL is a balancer in front of the instances, URL/fault/NAME makes a fault, CORE is chatcore. It prints
// what is not as it should be, as JSON.
import { createClient } from "@chatcore/client";
import { ChatClient } from "../dist/chat_client.js";

const { URL: url, FAULTS: faultsUrl, CORE, TOKEN } = process.env;
const core = createClient({ url: CORE.split(","), token: TOKEN, timeoutMs: 120_000 });
const users = ["ada", "ben", "cleo", "dan", "eve", "finn"];
const faults = ["kill-one", "restart-redis", "kill-a", "stop-other"];
const found = [];
const is = (name, got, want) => JSON.stringify(got) === JSON.stringify(want) || found.push(`${name}: ${JSON.stringify(got)}, want ${JSON.stringify(want)}`);
const until = async (name, so) => {
  for (const end = Date.now() + 100_000; !so(); await new Promise((resolve) => setTimeout(resolve, 20))) {
    if (Date.now() > end) {
      throw new Error(`${name} does not come`);
    }
  }
};

/** connect returns a client that keeps the seqs of its events by chat, and its other messages. */
function connect(userId) {
  const got = { userId, events: {}, others: [] };
  got.client = new ChatClient(url, userId, (event) => (got.events[event.chatId] ??= []).push(event), { transports: ["websocket"] });
  for (const name of ["joined", "left", "reload", "typing", "status"]) {
    got.client.socket.on(name, (...args) => got.others.push([name, ...args].join(" ")));
  }
  return got;
}
const seqs = (got, chatId) => (got.events[chatId] ?? []).map((event) => event.seq);
const dense = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => from + i);

async function run() {
  await core.chats.create({ chatId: "garden", actorId: "ada", memberIds: users.slice(1) });
  await core.chats.create({ chatId: "kitchen", actorId: "ada", memberIds: ["ben", "cleo"] });
  await core.chats.create({ chatId: "cellar", actorId: "ada" });
  const clients = users.map(connect);
  const [ada, ben, cleo, dan] = clients;
  await until("the rooms", () => clients.every((got) => got.others.includes("joined garden 6")));

  const types = setInterval(() => ben.client.typing("garden", true), 500); // again, because a busy connection drops it
  await until("typing", () => clients.every((got) => got.others.includes("typing garden ben true") || got === ben));
  clearInterval(types);
  await core.presence.setStatus({ userId: "cleo", status: "busy" });
  await until("the status", () => clients.every((got) => got.others.includes("status cleo busy")));
  is("a member joins again", await dan.client.socket.emitWithAck("join", "garden", 6), {});
  is("an outsider joins", await dan.client.socket.emitWithAck("join", "kitchen", 0), { error: { code: "not_found", reason: "not_member" } });
  is("an outsider sends", (await dan.client.send("kitchen", "hello")).error?.reason, "not_member");

  let last = 6;
  for (const fault of faults) {
    let over = false;
    const happens = fetch(`${faultsUrl}/fault/${fault}`).then((response) => (over = is(fault, response.status, 200) || true));
    for (let i = 0; i < 10 || !over; i++) {
      const sent = await Promise.all(clients.map(({ client, userId }) => client.send("garden", `${fault} ${i} of ${userId}`)));
      sent.forEach(({ seq, error }) => (error ? found.push(`${fault}: ${JSON.stringify(error)}`) : (last = Math.max(last, seq))));
    }
    await happens;
    await until(`the last message of ${fault}`, () => clients.every((got) => seqs(got, "garden").at(-1) === last));
  }
  for (const got of clients) {
    is(`events of ${got.userId}`, seqs(got, "garden"), dense(7, last));
    const ids = got.events.garden.map((event) => event.messageNew?.content);
    is(`messages of ${got.userId}`, new Set(ids).size, ids.length);
  }

  // Members change: by chatcore, not through an instance.
  await core.chats.addMember({ chatId: "kitchen", actorId: "ada", userId: "dan" });
  await until("dan in the kitchen", () => dan.others.some((text) => text.startsWith("joined kitchen")));
  await core.chats.removeMember({ chatId: "kitchen", actorId: "ada", userId: "cleo" });
  await until("the end for cleo", () => cleo.others.includes("left kitchen"));
  const { seq } = await ada.client.send("kitchen", "without cleo");
  await until("the kitchen", () => [ada, ben, dan].every((got) => seqs(got, "kitchen").at(-1) === seq));
  is("dan's events of the kitchen", seqs(dan, "kitchen"), dense(4, seq));
  is("cleo's events of the kitchen", seqs(cleo, "kitchen"), dense(4, seq - 1));
  is("the cellar is ada's", clients.filter((got) => got.others.some((text) => text.startsWith("joined cellar"))).map((got) => got.userId), ["ada"]);

  // A client that was away gets what it missed, and the end of a membership that ended meanwhile.
  dan.client.socket.disconnect();
  await ben.client.send("garden", "while dan is away");
  await core.chats.removeMember({ chatId: "kitchen", actorId: "ada", userId: "dan" });
  dan.client.socket.connect();
  await until("dan's return", () => seqs(dan, "garden").at(-1) === last + 1 && dan.others.includes("left kitchen"));
  is("dan's events of the garden", seqs(dan, "garden"), dense(7, last + 1));
  is("dan's events of the kitchen after the return", seqs(dan, "kitchen"), dense(4, seq + 1));
  is("chats that were loaded anew", clients.flatMap((got) => got.others.filter((text) => text.startsWith("reload"))), []);
  clients.forEach(({ client }) => client.close());
}

await run().catch((error) => found.push(String(error?.stack ?? error)));
process.stdout.write(JSON.stringify({ called: [], faults: found }) + "\n");
process.exit();
