/** FeedPosition is the place of a reader in its chats. It is a plain JSON value that can be kept, and given to a later feed as resume. */
export interface FeedPosition {
  /** Id of the server's log to which the seqs belong. */
  logId: string;
  /** Seq of the last event that the reader has, by chat id. A chat that is not among them has not begun. */
  chats: { [chatId: string]: number };
  /** Whether chats are all chats of the user: a later feed of all chats then begins other chats with the event that made the user a member. */
  allChats: boolean;
}

/** PositionTracker is the position of a feed's reader after the messages that it has taken. */
export class PositionTracker {
  logId = "";
  allChats = false;
  readonly chats = new Map<string, number>();

  /** reset forgets all seqs, and continues in another log. */
  reset(logId: string): void {
    this.logId = logId;
    this.allChats = false;
    this.chats.clear();
  }

  get value(): FeedPosition {
    return { logId: this.logId, chats: Object.fromEntries(this.chats), allChats: this.allChats };
  }
}
