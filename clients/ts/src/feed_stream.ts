import { sleep, type Calls } from "./calls.js";
import { ChatcoreError } from "./errors.js";
import { advance, type FollowedChat } from "./feed_chats.js";
import { streamMessage, type FeedMessage, type StreamMessage } from "./feed_messages.js";
import type { FeedQueue } from "./feed_queue.js";
import { FeedService } from "./gen/chatcore/v1/feed_pb.js";

/**
 * FeedState is the state of a feed's connection: "connecting", "live" with all messages as they happen, "waiting" for the next attempt after a failure, or
 * "closed".
 */
export type FeedState = "connecting" | "live" | "waiting" | "closed";

/** StreamOwner is what the streams of one feed share. */
export interface StreamOwner {
  readonly calls: Calls;
  readonly queue: FeedQueue;
  /** Fields of the request that all streams have. */
  readonly request: { actorId?: string | undefined; maxCatchUp?: number | undefined; durableOnly?: boolean | undefined; allChats: boolean };
  /** Id of the log to which the positions belong. "" before it is known. */
  logId: string;
  /** Whether the positions of a feed of all chats are those of all chats. */
  allChatsKnown: boolean;
  /** resync has all streams begin anew at the heads of their chats in another log. stream has the new log's messages already. */
  resync(logId: string, stream: FeedStream): void;
  /** isNewStatus reports whether no stream has given a status before. */
  isNewStatus(message: FeedMessage & { kind: "userStatus" }): boolean;
  /** changed is called after a change of a stream's state, with the error that it waits after. */
  changed(error?: ChatcoreError): void;
  /** fail ends the feed. */
  fail(error: ChatcoreError): void;
}

const firstBackoff = 100; // milliseconds, doubled with each attempt
const longestBackoff = 10_000;
const longestRetryAfter = 30_000;
const silenceMs = 45_000; // three heartbeats
const debounceMs = 50;
const steadyMs = 10_000; // life of a connection after which its end is the first failure again
const headsMs = 1_000; // after the server has begun a feed of all chats: it gives the heads of all chats at once
const idleMs = 5; // wait for a message that shows that the connection has no others

/** FeedStream keeps one stream of a feed open until the feed is closed. Every stream continues from the positions of its chats. */
export class FeedStream {
  /** The chats that the stream follows, by id. Of a feed of all chats: those that the server has named. */
  readonly chats = new Map<string, FollowedChat>();
  state: FeedState = "connecting";

  private number = 0; // of the present stream
  private failures = 0; // since the last progress
  private renewed = false; // whether the token was asked for again after an unauthenticated
  private resynced = false; // whether the reader has had the resync that the server is about to send
  private changes = false; // whether the present stream's chats are not those of chats
  private timer: ReturnType<typeof setTimeout> | undefined;
  private headsTimer: ReturnType<typeof setTimeout> | undefined;
  private startedAt = 0;
  private connection = new AbortController();
  private wake: (() => void) | undefined;

  constructor(private readonly owner: StreamOwner) {}

  /** follow adds a chat, at its head if seq is undefined. */
  follow(chatId: string, seq: number | undefined): void {
    this.chats.set(chatId, { chatId, seq, since: this.number + 1, caughtUp: false, removed: false });
    this.restartSoon();
  }

  /** unfollow removes a chat. Its messages end at once. */
  unfollow(chat: FollowedChat): void {
    chat.removed = true;
    this.chats.delete(chat.chatId);
    this.restartSoon();
  }

  /** forget has the stream continue at the heads of its chats. Unless the present stream does so already, the next one does. */
  forget(present: boolean): void {
    const since = present ? this.number : this.number + 1;
    for (const { chatId } of [...this.chats.values()]) {
      if (this.owner.request.allChats) {
        this.chats.delete(chatId);
      } else {
        this.chats.set(chatId, { chatId, seq: undefined, since, caughtUp: false, removed: false });
      }
    }
    if (!present) {
      this.restart();
    }
  }

  close(): void {
    this.state = "closed";
    clearTimeout(this.timer);
    this.connection.abort();
    this.wake?.();
  }

  /** run opens stream after stream until close, or until an error that no later stream can avoid. */
  async run(): Promise<void> {
    while (this.open) {
      this.connection = new AbortController();
      if (this.chats.size === 0 && !this.owner.request.allChats) {
        this.change("live"); // there is nothing to receive
        await new Promise<void>((resolve) => (this.wake = resolve));
        continue;
      }
      this.change("connecting");
      const began = Date.now();
      try {
        await this.read(this.connection.signal);
      } catch (error) {
        if (this.open && !this.connection.signal.aborted) {
          await this.pause(error as ChatcoreError, Date.now() - began);
        }
      }
    }
  }

  private get open(): boolean {
    return this.state !== "closed";
  }

  private change(state: FeedState, error?: ChatcoreError): void {
    if (this.open && this.state !== state) {
      this.state = state;
      this.owner.changed(error);
    }
  }

  /** read reads one stream. It always throws. */
  private async read(signal: AbortSignal): Promise<never> {
    const { calls, queue } = this.owner;
    this.changes = false;
    this.resynced = false;
    this.number++;
    const firstMs = Math.min(silenceMs, calls.settings.attemptTimeoutMs * (this.failures + 1));
    let asked = Infinity;
    try {
      for await (const response of calls.stream(FeedService.method.watch, this.request(), { signal, firstMs, silenceMs })) {
        const waitedMs = Date.now() - asked;
        clearTimeout(this.headsTimer);
        const message = streamMessage(response);
        if (message !== undefined) {
          this.receive(message);
        }
        await queue.room();
        if (signal.aborted) {
          break;
        }
        this.countHeads(waitedMs);
        asked = Date.now();
      }
    } finally {
      clearTimeout(this.headsTimer);
    }
    throw new ChatcoreError("unavailable", "the server ended the stream without an error");
  }

  private request(): object {
    const { request, logId, allChatsKnown } = this.owner;
    const chats = Array.from(this.chats.values(), ({ chatId, seq }) => ({ chatId, afterSeq: seq }));
    return { ...request, chats, logId, resume: request.allChats && allChatsKnown };
  }

  /** receive gives a message to the reader, unless it has had it. It throws if messages before it are missing. */
  private receive(message: StreamMessage): void {
    switch (message.kind) {
      case "started":
        return this.started(message.logId);
      case "heartbeat":
        return;
      case "userStatus":
        if (this.owner.isNewStatus(message)) {
          this.owner.queue.push({ message });
        }
        return;
      case "typingStarted":
      case "typingStopped": {
        const chat = this.followed(message.chatId);
        return chat && this.owner.queue.push({ message, chat });
      }
      case "resync":
        if (message.chatId === "") {
          return this.resync();
        }
    }
    const chat = this.followed(message.chatId) ?? this.newChat(message.chatId);
    const given = chat && advance(chat, message);
    if (given === undefined) {
      return;
    }
    this.progress();
    if (given.kind === "chatLeft") {
      this.chats.delete(chat!.chatId);
    }
    this.give(chat!, given);
  }

  private started(logId: string): void {
    this.renewed = false;
    this.startedAt = Date.now();
    if (this.owner.logId === "") {
      this.owner.logId = logId;
      this.owner.queue.push({ move: (position) => (position.logId = logId) });
    } else if (logId !== this.owner.logId) {
      this.owner.resync(logId, this);
      this.resynced = true;
    }
    this.change("live");
    if (this.changes && this.timer === undefined) {
      this.restart();
    }
  }

  /** resync follows the server's resync of all chats, unless the id of the log has said it already. */
  private resync(): void {
    if (!this.resynced) {
      this.owner.resync(this.owner.logId, this);
    }
    this.resynced = false;
  }

  /**
   * countHeads notes that a feed of all chats knows the position of each: some time after its begin, once the connection has no messages that wait. Until
   * then a later stream begins at the heads too. Afterwards a chat without a position is one that the user has joined since.
   */
  private countHeads(waitedMs: number): void {
    const { owner } = this;
    if (!owner.request.allChats || owner.allChatsKnown || this.state !== "live") {
      return;
    }
    const know = () => {
      owner.allChatsKnown = true;
      owner.queue.push({ move: (position) => (position.allChats = true) });
    };
    if (waitedMs >= idleMs && Date.now() - this.startedAt >= headsMs) {
      know();
    } else {
      this.headsTimer = setTimeout(know, headsMs);
    }
  }

  /** followed returns a chat if the messages of the present stream concern it. */
  private followed(chatId: string): FollowedChat | undefined {
    const chat = this.chats.get(chatId);
    return chat && chat.since <= this.number ? chat : undefined;
  }

  /** newChat returns a chat that the server has named first, of a feed of all chats. */
  private newChat(chatId: string): FollowedChat | undefined {
    if (!this.owner.request.allChats) {
      return undefined;
    }
    const chat = { chatId, seq: undefined, since: this.number, caughtUp: false, removed: false };
    this.chats.set(chatId, chat);
    return chat;
  }

  private give(chat: FollowedChat, message: FeedMessage): void {
    const { chatId, seq } = chat;
    this.owner.queue.push({
      message,
      chat,
      move: ({ chats }) => (message.kind === "chatLeft" ? chats.delete(chatId) : chats.set(chatId, seq!)),
    });
  }

  private progress(): void {
    this.failures = 0;
  }

  /** restartSoon begins the stream anew with the chats of 50 ms of changes. */
  private restartSoon(): void {
    this.changes = true;
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      if (this.changes && this.state === "live") {
        this.restart();
      } // otherwise the stream that begins next has the changes, or started restarts it
    }, debounceMs);
  }

  private restart(): void {
    this.connection.abort();
    this.wake?.();
  }

  /** pause waits after a failure, or ends the feed. */
  private async pause(error: ChatcoreError, lifeMs: number): Promise<void> {
    if (lifeMs >= steadyMs) {
      this.progress();
    }
    const { instances, renewable } = this.owner.calls.settings;
    if (isFinal(error, this.renewed || !renewable)) {
      return this.owner.fail(error);
    }
    this.renewed ||= error.code === "unauthenticated";
    if (error.reason === "feed_gap") {
      instances.failed(instances.current);
    }
    const first = this.failures === 0;
    const backoff = Math.min(longestBackoff, firstBackoff * 2 ** this.failures++) * (0.5 + Math.random() / 2);
    const retryAfter = Math.min(error.retryAfter ?? 0, longestRetryAfter);
    this.change("waiting", error);
    await sleep(error.code === "unauthenticated" && first ? 0 : Math.max(backoff, retryAfter), this.connection.signal);
  }
}

/**
 * isFinal reports whether no later stream can avoid an error. Errors of the connection have the codes of the server too, but no reason: a message that
 * breaks off is an invalid_argument.
 */
export function isFinal({ code, reason }: ChatcoreError, renewed: boolean): boolean {
  switch (code) {
    case "unauthenticated":
      return renewed;
    case "permission_denied":
      return true;
    default:
      return reason !== "" && (code === "not_found" || code === "invalid_argument" || code === "data_loss");
  }
}
