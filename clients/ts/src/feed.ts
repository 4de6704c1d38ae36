import type { Calls } from "./calls.js";
import { fromPlain } from "./convert.js";
import { invalid, type ChatcoreError } from "./errors.js";
import type { FeedMessage } from "./feed_messages.js";
import { PositionTracker, type FeedPosition } from "./feed_position.js";
import { FeedQueue } from "./feed_queue.js";
import { FeedStream, type FeedState, type StreamOwner } from "./feed_stream.js";
import { WatchRequestSchema } from "./gen/chatcore/v1/feed_pb.js";

/** FeedOptions say what a feed follows. */
export interface FeedOptions {
  /** The chats to follow, each after a seq: 0 is the first event, and undefined the chat's head, so that only later events come. May be empty. */
  chats?: readonly { chatId: string; afterSeq?: number | undefined }[] | undefined;
  /** Whether to follow all chats of the user instead, also those that the user joins meanwhile. Chats without a position begin at their head. */
  allChats?: boolean | undefined;
  /** Id of the user that reads, if the token is that of a service. Without one a service reads everything of the named chats. */
  actorId?: string | undefined;
  /** The most missed events of a chat that come after a connection, 1 to 10,000; older ones are skipped. Defaults to 1,000. */
  maxCatchUp?: number | undefined;
  /** Whether to leave out typing and status messages. */
  durableOnly?: boolean | undefined;
  /** Position of an earlier feed, from which this one continues. It precedes the afterSeq of chats. */
  resume?: FeedPosition | undefined;
  /** Signal that closes the feed. */
  signal?: AbortSignal | undefined;
  /** Function that is called after each change of the state; with the failure, if the feed waits after one. */
  onStateChange?: ((state: FeedState, error?: ChatcoreError) => void) | undefined;
}

const chatsPerStream = 1_000;
const statusesKept = 10_000;

/**
 * Feed gives the events of chats as they happen, and resumes by itself: each event once, in the order of the seqs of each chat, over every reconnect.
 *
 *     for await (const message of client.feed({ allChats: true })) { … }
 *
 * A loop that ends closes the feed. The loop ends with an error only if no retry helps: unauthenticated (after the token was asked for again),
 * permission_denied, not_found, invalid_argument and data_loss. While the reader is busy, at most 256 messages wait, and the connection is not read.
 */
export class Feed implements AsyncIterableIterator<FeedMessage, void, undefined> {
  private readonly tracker = new PositionTracker();
  private readonly queue = new FeedQueue(this.tracker);
  private readonly streams: FeedStream[] = [];
  private readonly statuses = new Map<string, string>();
  private readonly owner: StreamOwner;
  private readonly allChats: boolean;
  private readonly onStateChange: FeedOptions["onStateChange"];
  private current: FeedState = "connecting";

  constructor(calls: Calls, options: FeedOptions) {
    const { chats = [], allChats = false, actorId, maxCatchUp, durableOnly, resume, signal, onStateChange } = options;
    checkOptions(options);
    this.allChats = allChats;
    this.onStateChange = onStateChange;
    this.owner = {
      calls,
      queue: this.queue,
      request: { actorId, maxCatchUp, durableOnly, allChats },
      logId: resume?.logId ?? "",
      allChatsKnown: resume?.allChats ?? false,
      resync: (logId, stream) => this.resync(logId, stream),
      isNewStatus: (message) => this.isNewStatus(message),
      changed: (error) => this.changed(error),
      fail: (error) => this.end(error),
    };
    this.start(chats, resume);
    signal?.addEventListener("abort", () => this.close(), { once: true });
    if (signal?.aborted) {
      this.close();
    }
  }

  /** state is the state of the connection. */
  get state(): FeedState {
    return this.current;
  }

  /** position is the reader's position after the message that it has taken last. It can be kept as JSON, and given to a later feed as resume. */
  get position(): FeedPosition {
    return this.tracker.value;
  }

  /**
   * Follows another chat, after a seq or from its head on. The connection begins anew within 50 milliseconds for all changes of that time. A chat that the
   * feed follows already stays as it is. A feed of all chats has no others.
   */
  add(chatId: string, afterSeq?: number): void {
    if (this.allChats) {
      throw invalid("chatId", "cannot be added", "a feed of named chats");
    }
    fromPlain(WatchRequestSchema, { chats: [{ chatId, afterSeq }] });
    if (this.current !== "closed" && !this.streams.some((stream) => stream.chats.has(chatId))) {
      this.follow(chatId, afterSeq);
    }
  }

  /** Ends to follow a chat. No message of it comes after the call. */
  remove(chatId: string): void {
    if (this.allChats) {
      throw invalid("chatId", "cannot be removed", "a feed of named chats");
    }
    this.tracker.chats.delete(chatId);
    for (const stream of this.streams) {
      const chat = stream.chats.get(chatId);
      if (chat) {
        stream.unfollow(chat);
      }
    }
  }

  /** Ends the feed and its loop. Messages that the reader has not taken are dropped, and are after the position. */
  close(): void {
    this.closeStreams();
    this.queue.close();
  }

  /** next waits for the next message. */
  next(): Promise<IteratorResult<FeedMessage, void>> {
    return this.queue.next();
  }

  /** return closes the feed, when a loop ends. */
  async return(): Promise<IteratorResult<FeedMessage, void>> {
    this.close();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  private start(chats: readonly { chatId: string; afterSeq?: number | undefined }[], resume: FeedPosition | undefined): void {
    const positions = new Map(chats.map(({ chatId, afterSeq }) => [chatId, afterSeq]));
    for (const [chatId, seq] of Object.entries(resume?.chats ?? {})) {
      if (this.allChats || positions.has(chatId) || chats.length === 0) {
        positions.set(chatId, seq);
      }
    }
    this.tracker.logId = this.owner.logId;
    this.tracker.allChats = this.owner.allChatsKnown;
    this.streamWithRoom(); // a feed without chats is open too
    for (const [chatId, seq] of positions) {
      this.follow(chatId, seq);
    }
  }

  private follow(chatId: string, seq: number | undefined): void {
    if (seq !== undefined) {
      this.tracker.chats.set(chatId, seq);
    }
    this.streamWithRoom().follow(chatId, seq);
  }

  /** streamWithRoom returns a stream that can follow another chat. It begins one if there is none. */
  private streamWithRoom(): FeedStream {
    const found = this.streams.find((stream) => this.allChats || stream.chats.size < chatsPerStream);
    if (found) {
      return found;
    }
    const stream = new FeedStream(this.owner);
    this.streams.push(stream);
    queueMicrotask(() => void stream.run().catch((error: unknown) => this.end(error)));
    return stream;
  }

  private resync(logId: string, present: FeedStream): void {
    this.owner.logId = logId;
    this.owner.allChatsKnown = false;
    this.streams.forEach((stream) => stream.forget(stream === present));
    this.queue.push({ message: { kind: "resync", chatId: "", seq: 0 }, move: (position) => position.reset(logId) });
  }

  /** isNewStatus reports whether a status is new. Each stream gives the statuses of users that share one of its chats. */
  private isNewStatus({ userId, status, lastSeenAt }: FeedMessage & { kind: "userStatus" }): boolean {
    if (this.streams.length === 1) {
      return true;
    }
    const text = `${status} ${lastSeenAt?.getTime()}`;
    if (this.statuses.get(userId) === text) {
      return false;
    }
    if (this.statuses.size >= statusesKept) {
      this.statuses.clear();
    }
    this.statuses.set(userId, text);
    return true;
  }

  private changed(error?: ChatcoreError): void {
    const states = this.streams.map((stream) => stream.state);
    this.setState((["closed", "waiting", "connecting"] as const).find((state) => states.includes(state)) ?? "live", error);
  }

  private setState(state: FeedState, error?: ChatcoreError): void {
    if (this.current !== state && this.current !== "closed") {
      this.current = state;
      const { onStateChange } = this;
      queueMicrotask(() => onStateChange?.(state, error)); // an error of the function is not one of the feed
    }
  }

  private end(error: unknown): void {
    this.closeStreams(error as ChatcoreError);
    this.queue.end(error);
  }

  private closeStreams(error?: ChatcoreError): void {
    this.streams.forEach((stream) => stream.close());
    this.setState("closed", error);
  }
}

function checkOptions({ chats, allChats, actorId, maxCatchUp, durableOnly, resume }: FeedOptions): void {
  if (chats === undefined && !allChats && resume === undefined) {
    throw invalid("chats", "is missing", "a list of chats, or allChats, or resume");
  }
  fromPlain(WatchRequestSchema, { chats, allChats, actorId, maxCatchUp, durableOnly });
  const ids = chats?.map(({ chatId }) => chatId) ?? [];
  const twice = ids.findIndex((id, i) => ids.indexOf(id) < i);
  if (twice >= 0) {
    throw invalid(`chats[${twice}].chatId`, "is named twice", "each chat once");
  }
  if (resume !== undefined) {
    checkPosition(resume);
  }
}

function checkPosition({ logId, chats }: FeedPosition): void {
  if (typeof chats !== "object" || chats === null) {
    throw invalid("resume.chats", "has the wrong type", "the seqs of a FeedPosition");
  }
  for (const [chatId, afterSeq] of Object.entries(chats)) {
    if (!Number.isInteger(afterSeq) || afterSeq >>> 0 !== afterSeq) {
      throw invalid(`resume.chats.${chatId}`, "has the wrong type", "an integer from 0 to 4294967295");
    }
  }
  fromPlain(WatchRequestSchema, { logId });
}
