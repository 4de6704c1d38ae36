// Reads feeds of two instances that are killed and stopped, and whose Redis is restarted: URL/fault/NAME does it, URL/a and URL/b are the instances.
import { createClient, hasCode, newId, type Client, type Feed, type FeedMessage } from "@chatcore/client";
import type { Report } from "./program.js";

const faults = ["kill-a", "stop-b", "restart-redis"];

/** Reader keeps what a feed gives, until it ends. */
class Reader {
  readonly seqs = new Map<string, number[]>();
  readonly kinds: string[] = [];
  readonly ended: Promise<unknown>;
  private waiting: (() => void)[] = [];

  constructor(readonly feed: Feed) {
    this.ended = this.read().then(
      () => "closed",
      (error: unknown) => error,
    );
  }

  private async read(): Promise<void> {
    for await (const message of this.feed) {
      this.keep(message);
      this.waiting.splice(0).forEach((wake) => wake());
    }
  }

  private keep(message: FeedMessage): void {
    if (message.kind === "event") {
      this.seqs.set(message.chatId, [...(this.seqs.get(message.chatId) ?? []), message.seq]);
    } else if ("chatId" in message) {
      this.kinds.push(`${message.kind} ${message.chatId}`);
    }
  }

  /** until waits for a state of the reader. */
  async until(so: () => boolean): Promise<void> {
    while (!so()) {
      await new Promise<void>((resolve) => {
        this.waiting.push(resolve);
        setTimeout(resolve, 100); // the state of the feed changes without a message too
      });
    }
  }

  /** has waits for an event. */
  has(chatId: string, seq: number): Promise<void> {
    return this.until(() => this.seqs.get(chatId)?.at(-1) === seq);
  }
}

class FeedProgram {
  private readonly id = newId();
  private readonly chatId = `feed-${this.id}`;
  private readonly ben = `ben-${this.id}`;
  private seq = 0;
  readonly faults: string[] = [];

  constructor(
    private readonly url: string,
    private readonly urls: readonly string[],
    private readonly client: Client,
  ) {}

  private is(name: string, got: unknown, want: unknown): void {
    if (JSON.stringify(got) !== JSON.stringify(want)) {
      this.faults.push(`${name}: ${JSON.stringify(got)}, want ${JSON.stringify(want)}`);
    }
  }

  private async send(chatId = this.chatId): Promise<number> {
    const { seq } = await this.client.messages.send({ chatId, actorId: "ada", content: "hello" });
    this.seq = chatId === this.chatId ? seq : this.seq;
    return seq;
  }

  async run(): Promise<void> {
    const { client, chatId, ben } = this;
    await client.chats.create({ chatId, actorId: "ada", memberIds: [ben] });
    while ((await client.chats.list({ userId: ben }).page()).items.length === 0) {
      await new Promise((resolve) => setTimeout(resolve, 50)); // until the user's chats have it: the feed then begins at its head
    }
    const all = new Reader(client.feed({ allChats: true, actorId: ben }));
    const named = new Reader(client.feed({ chats: [{ chatId, afterSeq: 0 }] }));
    await all.until(() => all.feed.position.allChats);
    for (const fault of faults) {
      await this.fault(fault, all, named);
    }
    const dense = Array.from({ length: this.seq }, (_, i) => i + 1);
    this.is("events of the named chat", named.seqs.get(chatId), dense);
    this.is("events of all chats", all.seqs.get(chatId), dense.slice(2));
    this.is("events of another chat", [...named.seqs.keys()], [chatId]);
    await this.resume(named);
    await this.sessions();
    await this.leave(all);
    await this.eventSource();
  }

  /** fault sends messages while a fault happens. Meanwhile the user becomes a member of another chat. */
  private async fault(fault: string, all: Reader, named: Reader): Promise<void> {
    const { client, url, chatId, ben } = this;
    let over = false;
    const happens = fetch(`${url}/fault/${fault}`).then((response) => {
      over = true;
      this.is(fault, response.status, 200);
    });
    const other = `${fault}-${this.id}`;
    for (let i = 0; i < 20 || !over; i++) {
      await this.send();
      if (i === 5) {
        await client.chats.create({ chatId: other, actorId: "ada", memberIds: [ben] });
        await this.send(other);
      }
    }
    await happens;
    await Promise.all([named.has(chatId, this.seq), all.has(chatId, this.seq), all.has(other, 3)]);
    this.is(`events of the chat joined during ${fault}`, all.seqs.get(other), [2, 3]);
    this.is(`the user joined during ${fault}`, all.kinds.filter((kind) => kind === `chatJoined ${other}`).length, 1);
  }

  /** resume continues another feed from the position of the first one. */
  private async resume(named: Reader): Promise<void> {
    const kept = JSON.stringify(named.feed.position);
    named.feed.close();
    this.is("closed", await named.ended, "closed");
    const first = this.seq + 1;
    await this.send();
    await this.send();
    const next = new Reader(this.client.feed({ resume: JSON.parse(kept) }));
    await next.has(this.chatId, this.seq);
    next.feed.close();
    this.is("events after the position", next.seqs.get(this.chatId), [first, first + 1]);
  }

  /** sessions has a feed go on with the token of another session, and end with the last one. */
  private async sessions(): Promise<void> {
    const { client, ben } = this;
    const [first, second] = [await client.sessions.open({ userId: ben }), await client.sessions.open({ userId: ben })];
    let token = first.token;
    const user = createClient({ url: this.urls, token: () => token });
    const reader = new Reader(user.feed({ chats: [{ chatId: this.chatId, afterSeq: this.seq }] }));
    await this.send();
    await reader.has(this.chatId, this.seq);
    token = second.token;
    await client.sessions.close({ userId: ben, sessionId: first.session!.id });
    await this.send();
    await reader.has(this.chatId, this.seq);
    await client.sessions.closeAll({ userId: ben });
    this.is("the end of the sessions", hasCode(await reader.ended, "unauthenticated"), true);
    this.is("events of the sessions", reader.seqs.get(this.chatId), [this.seq - 1, this.seq]);
  }

  /** leave ends the user's membership. */
  private async leave(all: Reader): Promise<void> {
    const { client, chatId, ben } = this;
    await client.chats.removeMember({ chatId, actorId: "ada", userId: ben });
    const removal = this.seq + 1;
    await this.send();
    await all.until(() => all.kinds.includes(`chatLeft ${chatId}`));
    const other = `${faults[0]}-${this.id}`;
    await all.has(other, await this.send(other));
    this.is("the last event of the chat that was left", all.seqs.get(chatId)?.at(-1), removal);
    all.feed.close();
  }

  /** eventSource reads server-sent events with tickets, and continues after a message that was kept. Node 20 has no EventSource. */
  private async eventSource(): Promise<void> {
    if (typeof EventSource === "undefined") {
      return;
    }
    const { client, chatId } = this;
    const read = async (options: object, count: number): Promise<[seqs: number[], id: string]> => {
      const { ticket } = await client.feedTicket({ actorId: "ada" });
      const source = new EventSource(client.feedURL({ ticket, ...options }));
      const seqs: number[] = [];
      return new Promise((resolve) =>
        source.addEventListener("event", (message) => {
          seqs.push(JSON.parse(message.data).event.seq);
          if (seqs.length === count) {
            source.close();
            resolve([seqs, message.lastEventId]);
          }
        }),
      );
    };
    const [seqs, lastEventId] = await read({ chats: [{ chatId, afterSeq: 0 }] }, 5);
    this.is("server-sent events", seqs, [1, 2, 3, 4, 5]);
    this.is("server-sent events after the fifth", (await read({ chats: [{ chatId, afterSeq: 0 }], lastEventId }, 3))[0], [6, 7, 8]);
  }
}

export async function feed(url: string, token: string): Promise<Report> {
  const urls = [`${url}/a`, `${url}/b`];
  const program = new FeedProgram(url, urls, createClient({ url: urls, token, timeoutMs: 120_000 }));
  await program.run().catch((error: unknown) => program.faults.push(`${String(error)}: ${(error as Error).stack ?? ""}`));
  return { called: [], faults: program.faults };
}
