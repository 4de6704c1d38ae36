import type { FollowedChat } from "./feed_chats.js";
import type { FeedMessage } from "./feed_messages.js";
import type { PositionTracker } from "./feed_position.js";

/** FeedItem is one step of a feed. */
export interface FeedItem {
  /** Message for the reader. undefined: the item only moves the position. */
  message?: FeedMessage | undefined;
  /** Chat of the message. The reader does not get the message if the chat is removed before. */
  chat?: FollowedChat | undefined;
  /** Moves the position of the reader over the item. */
  move?: ((position: PositionTracker) => void) | undefined;
}

type Result = IteratorResult<FeedMessage, void>;
interface Reader {
  resolve(result: Result): void;
  reject(error: unknown): void;
}

const most = 256; // messages that wait for the reader
const done: Result = { done: true, value: undefined };

/** FeedQueue holds the messages that streams have received and the reader has not taken yet. Streams stop while it is full. */
export class FeedQueue {
  private readonly items: FeedItem[] = [];
  private readonly readers: Reader[] = [];
  private readonly writers: (() => void)[] = [];
  private ended = false;
  private error: unknown;

  constructor(private readonly position: PositionTracker) {}

  /** push adds an item. The caller has waited for room. */
  push(item: FeedItem): void {
    if (!this.ended) {
      this.items.push(item);
      this.deliver();
    }
  }

  /** room waits until the queue is not full. */
  async room(): Promise<void> {
    while (this.items.length >= most && !this.ended) {
      await new Promise<void>((resolve) => this.writers.push(resolve));
    }
  }

  /** next returns the next message. After the last one it throws the error of the end once, if there is one. */
  next(): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.readers.push({ resolve, reject });
      this.deliver();
    });
  }

  /** end lets the reader take the messages that are left, and then throws the error. */
  end(error: unknown): void {
    if (!this.ended) {
      this.ended = true;
      this.error = error;
      this.deliver();
      this.wakeWriters();
    }
  }

  /** close drops the messages that are left. The reader's loop ends. */
  close(): void {
    this.items.length = 0;
    this.error = undefined;
    this.ended = true;
    this.deliver();
    this.wakeWriters();
  }

  private deliver(): void {
    while (this.readers.length > 0 && this.items.length > 0) {
      const { message, chat, move } = this.items.shift()!;
      if (chat?.removed) {
        continue;
      }
      move?.(this.position);
      if (message !== undefined) {
        this.readers.shift()!.resolve({ done: false, value: message });
      }
    }
    if (this.items.length <= most / 2) {
      this.wakeWriters();
    }
    if (this.ended && this.items.length === 0) {
      this.endReaders();
    }
  }

  private endReaders(): void {
    for (const reader of this.readers.splice(0)) {
      const { error } = this;
      this.error = undefined;
      if (error === undefined) {
        reader.resolve(done);
      } else {
        reader.reject(error);
      }
    }
  }

  private wakeWriters(): void {
    this.writers.splice(0).forEach((wake) => wake());
  }
}
