// Sends events while the consumer and the receiver of the example are killed, and requests of the webhook fail. At the end, each event has one row of each
// subscriber, and those of a chat are in the order of the log. CORE (addresses with commas between them), TOKEN, FAULTS and DATABASE_URL are in the environment.
// FAULTS/fault/NAME ends an instance of chatcore and starts it again.
import { spawn } from "node:child_process";
import { createServer } from "node:http";
import { once } from "node:events";
import { createClient, newId } from "@chatcore/client";
import pg from "pg";
import { Webhook } from "standardwebhooks";

const { CORE, TOKEN, FAULTS, DATABASE_URL } = process.env;
const client = createClient({ url: CORE.split(","), token: TOKEN, timeoutMs: 120_000 });
const group = "effects";
const webhook = "effects-webhook";
const seed = Number(process.env.SEED ?? Date.now() % 1_000_000);
const faults = [];
const random = ((state) => () => ((state = (state * 1_103_515_245 + 12_345) % 2_147_483_648), state / 2_147_483_648))(seed);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Worker is a program of the example, which is killed and started again. */
class Worker {
  starts = 0;
  log = "";
  constructor(program, env) {
    this.program = program;
    this.env = env;
  }
  async start() {
    this.starts++;
    this.process = spawn(process.execPath, [`dist/${this.program}.js`], { env: { ...process.env, DATABASE_URL, ...this.env }, stdio: ["ignore", "pipe", "pipe"] });
    this.process.stderr.on("data", (text) => (this.log = (this.log + text).slice(-4_000)));
    this.exited = once(this.process, "exit");
    const early = await Promise.race([once(this.process.stdout, "data").then(() => false), this.exited.then(() => true)]);
    if (early) {
      faults.push(`${this.program} ended: ${this.log}`);
    }
    this.process.stdout.resume();
  }
  /** end ends the process. It returns its exit code, or null if a signal has killed it. */
  async end(signal) {
    this.process.kill(signal);
    const [code] = await this.exited;
    return code;
  }
}

/** Front receives the requests of the webhook, verifies them with standardwebhooks, and passes them on to the receiver, if it does not fail them. */
class Front {
  counts = { passed: 0, refused: 0, lost: 0, wrong: 0, down: 0 };
  async listen() {
    this.server = createServer((request, response) => void this.receive(request, response));
    this.server.listen(0, "127.0.0.1");
    await once(this.server, "listening");
    this.url = `http://127.0.0.1:${this.server.address().port}/`;
  }
  async receive(request, response) {
    const chunks = [];
    for await (const chunk of request) {
      chunks.push(chunk);
    }
    const body = Buffer.concat(chunks);
    try {
      this.webhook.verify(body, request.headers);
    } catch (error) {
      this.counts.wrong++;
      faults.push(`standardwebhooks refuses a request: ${error.message}`);
    }
    const chance = random();
    if (chance < 0.1) {
      this.counts.refused++;
      return this.answer(response, 500);
    }
    const passed = await fetch(this.receiver, { method: "POST", headers: request.headers, body }).catch(() => undefined);
    this.counts[passed ? "passed" : "down"]++;
    if (passed && passed.status !== 204 && passed.status !== 503) {
      faults.push(`the receiver answers ${passed.status}`);
    }
    if (chance < 0.15) {
      this.counts.lost++; // the effect is made, and the sender does not know
      return response.destroy();
    }
    this.answer(response, passed?.status ?? 502);
  }
  answer(response, status) {
    response.statusCode = status;
    response.end();
  }
}

async function freePort() {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  return port;
}

async function define(front) {
  const retry = { attempts: 1_000, firstPause: 20, maxPause: 500 };
  await client.admin.groups.create({ group, settings: { retry } });
  const { secret } = await client.admin.webhooks.create({ name: webhook, url: front.url, settings: { retry } });
  front.webhook = new Webhook(secret);
  return secret;
}

/** send sends messages into chats until stop. It returns the number of events of each chat. */
async function send(chatIds, isOver) {
  const heads = new Map();
  await Promise.all(
    chatIds.map(async (chatId) => {
      await client.chats.create({ chatId, actorId: "ada" });
      for (let i = 0; i < 40 || !isOver(); i++) {
        heads.set(chatId, (await client.messages.send({ chatId, actorId: "ada", content: `note ${i}` })).seq);
        await pause(random() * 60);
      }
    }),
  );
  return heads;
}

async function fail(consumer, receiver) {
  for (const fault of ["consumer", "receiver", "kill-a", "consumer", "receiver", "stop-b", "consumer", "receiver"]) {
    await pause(300 + random() * 1_200);
    const worker = { consumer, receiver }[fault];
    if (worker) {
      await worker.end("SIGKILL");
      await pause(random() * 500);
      await worker.start();
    } else {
      const { status } = await fetch(`${FAULTS}/fault/${fault}`);
      if (status !== 200) {
        faults.push(`${fault} answers ${status}`);
      }
    }
  }
}

/** settled waits until a subscriber has a row for each event. */
async function settled(database, subscriber, total) {
  for (let count = -1, since = Date.now(); count !== total; await pause(100)) {
    const { rows } = await database.query("select count(*)::int as count from effects where subscriber = $1", [subscriber]);
    if (rows[0].count !== count) {
      [count, since] = [rows[0].count, Date.now()];
    }
    if (count > total || Date.now() - since > 120_000) {
      const letters = await client.admin.deadLetters.list({ group: subscriber }).all();
      faults.push(`${subscriber} has ${count} rows for ${total} events; dead letters: ${letters.map((letter) => letter.reason)}`);
      return;
    }
  }
}

async function check(database, subscriber, heads) {
  for (const [chatId, head] of heads) {
    const { rows } = await database.query("select seq::int from effects where subscriber = $1 and chat_id = $2 order by id", [subscriber, chatId]);
    const seqs = rows.map(({ seq }) => seq);
    if (seqs.join() !== Array.from({ length: head }, (_, i) => i + 1).join()) {
      faults.push(`${subscriber}, ${chatId}: first effects of ${seqs}, want 1 to ${head}`);
    }
    const { rows: last } = await database.query("select content from last_messages where subscriber = $1 and chat_id = $2", [subscriber, chatId]);
    const { items } = await client.messages.list({ chatId, pageSize: 1 }).page();
    if (last[0]?.content !== items[0].content) {
      faults.push(`${subscriber}, ${chatId}: the last message is ${last[0]?.content}, want ${items[0].content}`);
    }
  }
}

async function main() {
  const front = new Front();
  await front.listen();
  const port = await freePort();
  front.receiver = `http://127.0.0.1:${port}/`;
  const secret = await define(front);
  const consumer = new Worker("consumer", { CHATCORE_URL: CORE, CHATCORE_TOKEN: TOKEN, GROUP: group });
  const receiver = new Worker("receiver", { PORT: String(port), WEBHOOK_SECRET: secret, WEBHOOK: webhook });
  await Promise.all([consumer.start(), receiver.start()]);
  while (!(await client.admin.webhooks.test({ name: webhook })).ok); // the front fails some requests
  let over = false;
  const chatIds = Array.from({ length: 12 }, (_, i) => `chat-${i}-${newId()}`);
  const [heads] = await Promise.all([send(chatIds, () => over), fail(consumer, receiver).finally(() => (over = true))]);
  const total = [...heads.values()].reduce((sum, head) => sum + head, 0);
  const database = new pg.Client({ connectionString: DATABASE_URL });
  await database.connect();
  await Promise.all([settled(database, group, total), settled(database, webhook, total)]);
  for (const subscriber of [group, webhook]) {
    await check(database, subscriber, heads);
  }
  await database.end();
  for (const worker of [consumer, receiver]) {
    const code = await worker.end("SIGTERM");
    if (code !== 0) {
      faults.push(`${worker.program} ends with ${code}: ${worker.log}`);
    }
  }
  front.server.closeAllConnections();
  front.server.close();
  console.error(`seed ${seed}: ${total} events`, front.counts, { consumers: consumer.starts, receivers: receiver.starts });
  if (front.counts.refused === 0 || front.counts.lost === 0) {
    faults.push("no request failed");
  }
}

await main().catch((error) => faults.push(`seed ${seed}: ${error.stack} ${JSON.stringify(error)}`));
console.log(JSON.stringify({ called: [], faults }));
process.exit();
