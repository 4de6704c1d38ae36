// A program of a team that uses the published client. It calls every method of the API, in Node and in a page.
import {
  ChatcoreError,
  createClient,
  hasCode,
  hasReason,
  newId,
  Postpone,
  Retry,
  verifyWebhook,
  type Client,
  type ClientOptions,
  type CommandResult,
  type Delivery,
  type Event,
  type FeedState,
  type Message,
  type SendResult,
} from "@chatcore/client";

/** Report is what the program found. */
export interface Report {
  /** Paths of the methods that it called. */
  called: string[];
  /** What is not as it should be. */
  faults: string[];
}

/** run calls every method on a server that has what tests/interop/client_test.go makes: dead letters of the group push, and a group reports. */
export async function run(url: string, token: string): Promise<Report> {
  const report: Report = { called: [], faults: [] };
  const recorded: typeof fetch = (input, init) => {
    report.called.push(new URL(String(input)).pathname.slice(1));
    return fetch(input, init);
  };
  const options: ClientOptions = { url, token, fetch: recorded };
  const program = new Program(createClient(options), options, report.faults, report.called);
  await program.run().catch((error: unknown) => {
    const detail = error instanceof ChatcoreError ? ` ${error.code} ${error.reason} ${error.field ?? ""} ${String(error.cause)}` : "";
    report.faults.push(`${String(error)}${detail}: ${(error as Error).stack ?? ""}`);
  });
  report.called = [...new Set(report.called)].sort();
  return report;
}

class Program {
  private readonly chatId = `garden-${newId()}`;

  constructor(
    private readonly client: Client,
    private readonly options: ClientOptions,
    private readonly faults: string[],
    private readonly called: string[],
  ) {}

  async run(): Promise<void> {
    await this.chats();
    await this.rules();
    const sent = await this.messages();
    await this.changes(sent);
    await this.events();
    await this.errors();
    await this.feeds();
    await this.presence();
    await this.sessions();
    await this.consumers();
    await this.webhooks();
    await this.retention();
    await this.administration();
  }

  private is(name: string, got: unknown, want: unknown): void {
    if (JSON.stringify(got) !== JSON.stringify(want)) {
      this.faults.push(`${name}: ${JSON.stringify(got)}, want ${JSON.stringify(want)}`);
    }
  }

  private async chats(): Promise<void> {
    const { chats } = this.client;
    const { chatId } = this;
    const actorId = "ada";
    const created: CommandResult = await chats.create({ chatId, actorId, title: "Garden", memberIds: ["ben", "cleo"] });
    this.is("create", created, { seq: 3, changed: true, duplicate: false });
    const again = { chatId, actorId, title: "Kitchen garden", commandId: "rename-1" };
    await chats.rename(again);
    this.is("rename again", (await chats.rename(again)).duplicate, true);
    await chats.addMember({ chatId, actorId, userId: "dan" });
    await chats.promoteMember({ chatId, actorId, userId: "ben", role: "owner" });
    await chats.demoteMember({ chatId, actorId, userId: "ben", role: "admin" });
    await chats.removeMember({ chatId, actorId: "ben", userId: "dan" });
    await chats.leave({ chatId, actorId: "cleo" });
    await chats.archive({ chatId, actorId });
    this.is("archived", (await chats.get({ chatId })).archived, true);
    await chats.unarchive({ chatId, actorId });
    const chat = await chats.get({ chatId, atSeq: 1 });
    this.is("title at the first seq", chat.title, "Garden");
    this.is("created", chat.createdAt instanceof Date && Math.abs(chat.createdAt.getTime() - Date.now()) < 3_600_000, true);
    this.is("member", (await chats.getMember({ chatId, userId: "ben" })).role, "admin");
    const members = await chats.listMembers({ chatId, pageSize: 1 }).all();
    this.is("members", members.map((member) => `${member.userId} ${member.role}`).sort(), ["ada owner", "ben admin"]);
    this.is("ids", (await chats.listIds({ userId: "ben" }).all()).includes(chatId), true);
    await chats.forgetContacts({ userIds: [actorId] });
    for await (const contact of chats.listContacts({ userId: actorId })) {
      this.is("contact", typeof contact.sharedChats, "number");
    }
    for await (const listed of chats.list({ userId: actorId, pageSize: 1 })) {
      this.is("listed", [typeof listed.unread, typeof listed.id], ["number", "string"]);
    }
  }

  private async settings(chatId: string, actorId: string): Promise<void> {
    const { chats, messages } = this.client;
    const { messageId, seq } = await messages.send({ chatId, actorId, content: "to be pinned" });
    await messages.pin({ chatId, actorId, messageId });
    this.is("pins", (await messages.listPins({ chatId })).map((pin) => `${pin.id} ${pin.pinnedBy}`), [`${messageId} ada`]);
    await messages.unpin({ chatId, actorId, messageId });
    const page = await messages.getPage({ chatId, includeChanges: true, pageSize: 2 });
    this.is("changes", page.changes.map((change) => change.type), ["message:pin", "message:pin"]);
    await messages.markRead({ chatId, actorId: "fay", messageId, awaitRecorded: true });
    this.is("readers", await messages.listReadBy({ chatId, messageId }), ["fay"]);
    await chats.setSettings({ chatId, actorId: "fay", notify: "mentions", hidden: "until_message", favourite: true, unreadFrom: messageId });
    const { notify, hidden, favourite, unreadSeq } = await chats.getSettings({ chatId, userId: "fay" });
    this.is("settings", [notify, hidden, favourite, unreadSeq], ["mentions", "until_message", true, seq]);
    this.is("unread again", await messages.getUnread({ chatId, userId: "fay" }), 1);
    this.is("totals", typeof (await messages.getUnreadTotals({ userId: "fay", includeMuted: true })).messages, "number");
  }

  private async rules(): Promise<void> {
    const { chats, messages } = this.client;
    const chatId = `${this.chatId}-public`;
    const actorId = "ada";
    await chats.create({ chatId, actorId, title: "Market" });
    await chats.setPolicy({ chatId, actorId, visibility: "public", permissions: { rename: "owner" } });
    await chats.setPolicy({ chatId, actorId, permissions: { rename: "unspecified", post: "member" } });
    this.is("visibility", (await chats.get({ chatId })).visibility, "public");
    await chats.join({ chatId, actorId: "gus" });
    const added = await chats.addMembers({ chatId, actorId, userIds: ["fay", "gus"] });
    this.is("added", added.users.map((user) => user.userId), ["fay", "gus"]);
    await chats.restrict({ chatId, actorId, userId: "gus", restriction: "ban", reason: "spam" });
    const restrictions = await chats.listRestrictions({ chatId, pageSize: 1 }).all();
    this.is("restrictions", restrictions.map((r) => `${r.userId} ${r.restriction}`), ["gus ban"]);
    await chats.updateMetadata({ chatId, actorId, set: { topic: '"Harvest"' } });
    this.is("metadata", (await chats.getMetadata({ chatId })).values, { topic: '"Harvest"' });
    const root = await messages.send({ chatId, actorId, content: "Who comes?" });
    const threadId = root.messageId;
    const reply = await messages.send({ chatId, actorId: "fay", content: "I do", threadId, mentions: [actorId] });
    await messages.send({ chatId, actorId, content: "at noon", threadId, broadcast: "all" });
    this.is("thread", (await messages.getThread({ chatId, actorId: "fay", threadId })).unread, 1);
    this.is("replies", (await messages.listThread({ chatId, threadId, pageSize: 1 }).all()).map((m) => m.broadcast), ["all", "unspecified"]);
    const { mentions, threadMentions } = await messages.countUnread({ chatId, userId: "fay", withMentions: true });
    this.is("mentions", { mentions, threadMentions }, { mentions: 0, threadMentions: 1 });
    this.is("mentioned", (await messages.listMentions({ chatId, actorId, inThreads: true }).all()).map((m) => m.id), [reply.messageId]);
    await messages.markThread({ chatId, actorId: "fay", threadId, following: "unfollow" });
    this.is("threads", (await messages.listThreads({ chatId, actorId: "fay" }).all()).map((t) => t.following), [false]);
    await this.settings(chatId, actorId);
    const sent = await messages.send({ chatId, actorId, content: "a secret" });
    await messages.erase({ chatId, actorId, messageId: sent.messageId });
    const { content, erased } = await messages.get({ chatId, messageId: sent.messageId });
    this.is("erased", { content, erased }, { content: "", erased: true });
    await chats.delete({ chatId, actorId });

    const [one, other] = [`${this.chatId}-one`, `${this.chatId}-other`];
    const direct = await chats.openDirect({ actorId: one, userId: other });
    this.is("direct", (await chats.getDirect({ actorId: other, userId: one })).id, direct.chatId);
    await chats.block({ actorId: one, userId: other });
    await chats.listBlocked({ userId: one, pageSize: 1 }).all(); // of the last moment, a block may be missing
    await chats.block({ actorId: one, userId: other, lift: true });
    const departed = await chats.depart({ userId: "departing" });
    if (!departed.complete || departed.chats.length !== 0) throw new Error(`the departure is ${JSON.stringify(departed)}`);
  }

  private async messages(): Promise<Message> {
    const { messages } = this.client;
    const { chatId } = this;
    const clientMeta = { device: "phone", list: [1, { a: null }], text: "<é> & “👍”" };
    const attachments = [{ name: "bed.png", type: "image/png", size: 9_007_199_254_740_991, url: "https://files.example/bed.png" }];
    const first = await messages.send({ chatId, actorId: "ada", content: "The tomatoes are ripe", clientMeta, attachments, mentions: ["ben"] });
    this.is("sent", [first.duplicate, first.messageId.length], [false, 36]);
    const repeated = await messages.send({ chatId, actorId: "ada", messageId: first.messageId, content: "The tomatoes are ripe", clientMeta, attachments, mentions: ["ben"] });
    this.is("sent again", [repeated.duplicate, repeated.seq, repeated.differs], [true, first.seq, false]);
    const results: SendResult[] = await messages.sendMany([
      { chatId, actorId: "ben", content: "one", replyTo: first.messageId },
      { chatId, actorId: "eve", content: "two" },
      { chatId, actorId: "ben", content: "three" },
    ]);
    this.is("batch", results.map((r) => r.error?.reason ?? typeof r.sent?.seq), ["number", "not_member", "not_tried"]);

    for (let i = 0; i < 7; i++) {
      await messages.send({ chatId, actorId: "ben", content: `note ${i}`, messageId: `${chatId}-${i}` });
    }
    const contents = async (list: AsyncIterable<Message>) => {
      const all: string[] = [];
      for await (const message of list) {
        all.push(message.content);
      }
      return all;
    };
    const newest = await contents(messages.list({ chatId, pageSize: 3 }));
    this.is("newest first", newest.slice(0, 8), ["note 6", "note 5", "note 4", "note 3", "note 2", "note 1", "note 0", "one"]);
    this.is("oldest first", await contents(messages.list({ chatId, pageSize: 3, oldest: true })), [...newest].reverse());
    this.is("after", await contents(messages.list({ chatId, pageSize: 2, afterSeq: first.seq })), [...newest].reverse().slice(1));

    const message = await messages.get({ chatId, messageId: first.messageId });
    this.is("message", [message.clientMeta, message.attachments, message.mentions, message.sentAt instanceof Date], [clientMeta, attachments, ["ben"], true]);
    this.is("exact text", message.clientMetaText, JSON.stringify(clientMeta));
    return message;
  }

  private async changes({ id: messageId, chatId }: Message): Promise<void> {
    const { messages } = this.client;
    await messages.edit({ chatId, actorId: "ada", messageId, content: "The tomatoes are red", attachments: [] });
    const edited = await messages.get({ chatId, messageId });
    this.is("edited", [edited.content, edited.revision, edited.attachments.length, edited.mentions], ["The tomatoes are red", 1, 0, ["ben"]]);
    await messages.addReaction({ chatId, actorId: "ben", messageId, emoji: "👍" });
    this.is("reactions", (await messages.get({ chatId, messageId })).reactions, [{ emoji: "👍", userIds: ["ben"] }]);
    await messages.removeReaction({ chatId, actorId: "ben", messageId, emoji: "👍" });
    await messages.delete({ chatId, actorId: "ben", messageId: `${chatId}-6`, reason: "twice" });
    this.is("deleted", (await messages.get({ chatId, messageId: `${chatId}-6` })).deletedAt instanceof Date, true);
    this.is("unread", await messages.getUnread({ chatId, userId: "ada" }), 7);
    const marked = await messages.markRead({ chatId, actorId: "ada", messageId: `${chatId}-5`, awaitRecorded: true });
    this.is("marked", marked.recorded, true);
    this.is("unread after the mark", (await messages.listUnread({ userId: "ada" })).find((c) => c.chatId === chatId)?.messages ?? 0, 0);
  }

  private async events(): Promise<void> {
    const { messages, log } = this.client;
    const { chatId } = this;
    const exact = '{"choice": "soup", "big": 12345678901234567890}';
    const first = await messages.recordEvent({ chatId, actorId: "ada", type: "poll:voted", entityId: "lunch", data: exact });
    await messages.recordEvent({ chatId, actorId: "ben", type: "poll:voted", entityId: "lunch", data: { choice: "salad" }, conditions: [{ customEntityId: "lunch", version: first.seq }] });
    const stale = { chatId, actorId: "ben", type: "poll:voted", entityId: "lunch", data: {}, conditions: [{ customEntityId: "lunch", version: first.seq }] };
    const conflict = await messages.recordEvent(stale).catch((error: unknown) => error);
    this.is("conflict", hasReason(conflict, "conflict") && [conflict.code, typeof conflict.version, conflict.retryable], ["aborted", "number", false]);
    const votes = await messages.listEntityEvents({ chatId, entityId: "lunch", pageSize: 1 }).all();
    this.is("votes", votes.map((event) => event.custom?.data?.choice), ["salad", "soup"]);
    this.is("exact data", JSON.parse(votes[1]?.custom?.dataText ?? "null"), JSON.parse(exact));
    this.is("version", (await messages.getEntityEvents({ chatId, entityId: "lunch" })).version, votes[0]?.seq);

    const all: Event[] = await log.listEvents({ chatId, oldest: true, pageSize: 5 }).all();
    this.is("dense seqs", all.map((event) => event.seq), all.map((_, i) => i + 1));
    this.is("first event", [all[0]?.type, all[0]?.chatUpdate?.change, all[0]?.actorId], ["chat:update", "created", "ada"]);
    for await (const event of log.listAuditEvents({ chatId, userId: "dan" })) {
      this.is("audit", event.chatUpdate?.userId, "dan");
    }
  }

  private async errors(): Promise<void> {
    const { client, chatId } = this;
    const refused = await client.messages.send({ chatId, actorId: "eve", content: "hello" }).catch((error: unknown) => error);
    this.is("not a member", hasCode(refused, "permission_denied") && refused.reason, "not_member");
    const unknown = await client.chats.get({ chatId: "nowhere" }).catch((error: unknown) => error);
    this.is("not found", hasReason(unknown, "chat_not_found") && unknown.code, "not_found");
    const invalid = await client.messages.send({ chatId, actorId: "ada", attachments: [{ name: "x" }] }).catch((error: unknown) => error);
    this.is("invalid", hasReason(invalid, "invalid") && [invalid.code, invalid.field, typeof invalid.allowed], ["invalid_argument", "attachments[0].url", "string"]);
    const bad = await createClient({ ...this.options, token: "cc_nobody_wrong" }).chats.get({ chatId }).catch((error: unknown) => error);
    this.is("bad token", bad instanceof ChatcoreError && [bad.code, bad.reason], ["unauthenticated", "unauthenticated"]);
    const aborted = await client.chats.get({ chatId }, { signal: AbortSignal.abort() }).catch((error: unknown) => error);
    this.is("aborted", hasCode(aborted, "canceled"), true);
  }

  private async feeds(): Promise<void> {
    const { client, chatId } = this;
    const feed = client.feed({ chats: [{ chatId, afterSeq: 0 }], actorId: "ada", onStateChange: (state: FeedState) => this.is("state", ["live", "closed"].includes(state), true) });
    const seqs: number[] = [];
    for await (const message of feed) {
      if (message.kind === "event") {
        seqs.push(message.seq);
        this.is("redacted", message.redacted, message.messageNew?.messageId === `${chatId}-6`);
      } else if (message.kind === "caughtUp") {
        this.is("caught up", [message.seq, message.seq], [seqs.length, seqs.at(-1)]);
        break;
      }
    }
    this.is("position", feed.position.chats, { [chatId]: seqs.length });
    const outsider = client.feed({ chats: [{ chatId, afterSeq: 0 }], actorId: "eve" });
    this.is("outsider", hasCode(await outsider.next().catch((error: unknown) => error), "not_found"), true);
    const { ticket, expiresAt } = await client.feedTicket({ actorId: "ada" });
    this.is("ticket", [ticket.length > 20, expiresAt instanceof Date], [true, true]);
    const response = await fetch(client.feedURL({ ticket, chats: [{ chatId }] }));
    this.is("server-sent events", [response.status, response.headers.get("Content-Type")], [200, "text/event-stream"]);
    await response.body?.cancel();
  }

  private async presence(): Promise<void> {
    const { presence } = this.client;
    const { chatId } = this;
    await presence.heartbeat({ userId: "ben", deviceId: "phone", connectionId: "1" });
    await presence.setStatus({ userId: "ben", status: "busy" });
    const [ben, nobody] = await presence.getStatuses({ userIds: ["ben", "nobody"] });
    this.is("statuses", [ben?.status, ben?.lastSeenAt instanceof Date, nobody?.status, nobody?.lastSeenAt], ["busy", true, "offline", undefined]);
    const online: string[] = [];
    for await (const user of presence.listOnline()) {
      online.push(user);
    }
    this.is("online", online.includes("ben"), true);
    await presence.startTyping({ chatId, actorId: "ben" });
    this.is("typing", await presence.listTyping({ chatId }), ["ben"]);
    await presence.stopTyping({ chatId, actorId: "ben" });
    await presence.disconnect({ userId: "ben", deviceId: "phone", connectionId: "1" });
  }

  private async sessions(): Promise<void> {
    const { sessions, limits } = this.client;
    const { chatId } = this;
    const opened = await sessions.open({ userId: "ben", device: { id: "phone" } });
    this.is("session", [(await sessions.get({ token: opened.token })).userId, opened.session?.device?.id], ["ben", "phone"]);
    let token = opened.token;
    const ben = createClient({ ...this.options, token: () => token });
    await ben.messages.send({ chatId, content: "as myself" });
    const other = await ben.messages.send({ chatId, actorId: "ada", content: "as another" }).catch((error: unknown) => error);
    this.is("as another user", hasCode(other, "permission_denied") && other.field, "actorId");
    token = (await ben.sessions.rotate({})).token;
    this.is("sessions", (await ben.sessions.list({})).some((session) => session.id === opened.session?.id), true);
    await ben.sessions.close({});
    this.is("closed", hasCode(await ben.chats.get({ chatId }).catch((error: unknown) => error), "unauthenticated"), true);
    await sessions.closeAll({ userId: "ben" });
    const taken = await limits.take({ kind: "login", subject: ["ben", chatId], count: 2 });
    this.is("limit", [taken.allowed, taken.remaining, typeof taken.resetAfter], [true, 3, "number"]);
  }

  /** consumers consumes by each way that the runtime has. Every event is what the log has. */
  private async consumers(): Promise<void> {
    const { messages, log, admin } = this.client;
    const { chatId } = this;
    const group = `pull-${newId()}`;
    const settings = { chatIds: [chatId], retry: { attempts: 3, firstPause: 10, maxPause: 20 } };
    const { definition } = await admin.groups.create({ group, settings });
    this.is("definition", [definition?.kind, definition?.paused, definition?.settings?.retry?.attempts], ["pull", false, 3]);
    await admin.groups.update({ group, settings: { ...settings, eventTypes: ["message:new"] }, version: definition!.version });
    this.is("paused", (await admin.groups.pause({ group })).paused, true);
    this.is("resumed", (await admin.groups.resume({ group })).paused, false);
    const modes = typeof document === "undefined" ? (["stream", "fetch"] as const) : (["fetch"] as const);
    for (const mode of modes) {
      const { seq } = await messages.send({ chatId, actorId: "ada", content: `for a consumer by ${mode}` });
      const deliveries = await this.deliveries(group, mode, seq);
      const [event] = (await log.listEvents({ chatId, afterSeq: seq - 1 }).page()).items;
      this.is(`the event by ${mode}`, deliveries.at(-1)?.event, event);
      this.is(`the attempts by ${mode}`, deliveries.map(({ attempt, redelivered }) => [attempt, redelivered]), [[1, false], [1, true], [2, true]]);
      if (mode === "stream") {
        this.called.push("chatcore.consumer.v1.ConsumerService/Consume"); // not by fetch
      }
    }
    await admin.groups.delete({ group });
  }

  /** deliveries returns the deliveries of an event, of which the first is postponed, and the second fails. */
  private async deliveries(group: string, mode: "stream" | "fetch", seq: number): Promise<Delivery[]> {
    const deliveries: Delivery[] = [];
    const errors: unknown[] = [];
    const consumer = this.client.consume(
      group,
      (delivery) => {
        if (delivery.event.seq !== seq) {
          return;
        }
        switch (deliveries.push(delivery)) {
          case 1:
            throw new Postpone(1);
          case 2:
            throw new Retry(1, "not yet");
          default:
            setTimeout(() => void consumer.close());
        }
      },
      { mode, onError: (error) => errors.push(error) },
    );
    await consumer.done;
    this.is(`the errors by ${mode}`, errors.map(String), ["Retry: not yet"]);
    return deliveries;
  }

  private async webhooks(): Promise<void> {
    const { webhooks } = this.client.admin;
    const name = `hook-${newId()}`;
    const { webhook, secret } = await webhooks.create({ name, url: "http://127.0.0.1:9/in", settings: { chatIds: ["another"] } });
    this.is("webhook", [webhook?.url, webhook?.definition?.kind, secret.startsWith("whsec_")], ["http://127.0.0.1:9/in", "webhook", true]);
    const request = { headers: { "webhook-id": "1", "webhook-timestamp": "1", "webhook-signature": "v1,AAAA" }, body: "{}" };
    this.is("an old request", hasReason(await verifyWebhook({ secret, ...request }).catch((error: unknown) => error), "webhook_too_old"), true);
    this.is("updated", (await webhooks.update({ name, timeout: 2_000 })).timeout, 2_000);
    const attempt = await webhooks.test({ name }); // nothing listens on the port
    this.is("attempt", [attempt.ok, attempt.status, attempt.error !== ""], [false, 0, true]);
    this.is("attempts", Array.isArray(await webhooks.listAttempts({ name })), true);
    const rotated = await webhooks.rotateSecret({ name, keepOld: 60_000 });
    this.is("rotated", [rotated.secret !== secret, rotated.webhook?.oldSecretExpiresAt instanceof Date], [true, true]);
    this.is("paused webhook", (await webhooks.pause({ name })).definition?.paused, true);
    this.is("resumed webhook", (await webhooks.resume({ name })).definition?.paused, false);
    this.is("webhooks", [(await webhooks.get({ name })).name, (await webhooks.list({})).some((listed) => listed.name === name)], [name, true]);
    await webhooks.delete({ name });
  }

  private async retention(): Promise<void> {
    const { retention, erasures } = this.client.admin;
    const chatId = `kept-${newId()}`;
    const policy = await retention.set({ chatId, keeps: { maxMessages: 7 }, actorId: "ops" });
    this.is("policy", [policy.keeps?.maxMessages, policy.effectiveAt instanceof Date], [7, true]);
    this.is("policies", (await retention.list({})).some((listed) => listed.chatId === chatId), true);
    await retention.clear({ chatId, actorId: "ops" });
    await retention.addHold({ id: "case", chatId, reason: "a claim", actorId: "legal" });
    this.is("holds", (await retention.listHolds({})).some((hold) => hold.chatId === chatId && hold.reason === "a claim"), true);
    await retention.removeHold({ id: "case", chatId });
    const sender = newId();
    await this.client.chats.create({ chatId, actorId: sender });
    const { messageId } = await this.client.messages.send({ chatId, actorId: sender, content: "hello" });
    this.is("pending", (await erasures.verify({ chatId, messageId }))[0]?.status, "pending");
    this.is("erased", (await erasures.erase({ chatId, messageId, actorId: "support" })).seq > 0, true);
    this.is("user erased", (await erasures.eraseUser({ userId: sender, actorId: "support" })).done, true);
  }

  private async administration(): Promise<void> {
    const { groups, deadLetters, health } = this.client.admin;
    const [first, second] = await deadLetters.list({ group: "push", pageSize: 1 }).all();
    if (first === undefined || second === undefined) {
      this.faults.push("the group push has no two dead letters");
      return;
    }
    const letter = await deadLetters.get({ group: "push", id: first.id });
    this.is("dead letter", [letter.reason, letter.createdAt instanceof Date, letter.payload instanceof Uint8Array], ["no device accepts it", true, true]);
    await deadLetters.retry({ group: "push", id: first.id });
    await deadLetters.drop({ group: "push", id: second.id });
    const push = (await groups.list({})).find((group) => group.name === "push");
    this.is("group", [push?.members, typeof push?.lag], [1, "number"]);
    await groups.rebuild({ group: "push" });
    this.is("health", (await health.get({})).ready, true);
    for (const finding of await health.listFindings({})) {
      this.is("finding", ["danger", "warning", "note"].includes(finding.severity), true);
    }
    await groups.delete({ group: "reports" });
  }
}
