import { computed, signal } from "@preact/signals";
import { hasCode, type Chat, type Event, type Member, type Message } from "@chatcore/client";
import { foldMark } from "../chat/fold";
import { client, isService, session } from "../session";

/** State is a chat as of a seq. */
export interface State {
  seq: number;
  chat: Chat;
  members: readonly Member[];
  messages: readonly Message[];
  /** Whether there are older messages than those. */
  more: boolean;
}

export interface NamedChat {
  id: string;
  title: string;
}

/** pageSize is how many events are loaded, and listed, at a time. */
export const pageSize = 256;
const statesKept = 300;
const messagesShown = 40;
const settleMs = 40;

/** HistoryModel is the log of one chat, and its state as of one seq. */
export class HistoryModel {
  readonly chats = signal<readonly NamedChat[] | undefined>(undefined);
  readonly chatId = signal("");
  readonly head = signal(0);
  readonly seq = signal(0);
  readonly events = signal<ReadonlyMap<number, Event>>(new Map());
  readonly state = signal<State | undefined>(undefined);
  readonly error = signal<unknown>(undefined);
  readonly live = signal(false);

  readonly event = computed(() => this.events.value.get(this.seq.value));
  /** first is the seq of the first listed event: that of the page with the present one. */
  readonly first = computed(() => Math.floor((Math.max(1, this.seq.value) - 1) / pageSize) * pageSize + 1);
  readonly listed = computed(() => {
    const events: Event[] = [];
    for (let seq = this.first.value; seq < this.first.value + pageSize; seq++) {
      const event = this.events.value.get(seq);
      if (event) {
        events.push(event);
      }
    }
    return events;
  });
  /** marks are the read marks as of the seq, of the events that are loaded. */
  readonly marks = computed(() => {
    let marks: ReadonlyMap<string, number> = new Map();
    for (const event of [...this.events.value.values()].sort((a, b) => a.seq - b.seq)) {
      if (event.seq <= this.seq.value) {
        marks = foldMark(marks, event);
      }
    }
    return marks;
  });

  private readonly states = new Map<number, State>();
  private end = new AbortController();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private pages = new Set<number>();

  /** loadChats finds the chats that the caller may read. */
  async loadChats(): Promise<void> {
    if (!isService.value) {
      this.chats.value = (await client.chats.list({ pageSize: 256 }).page()).items.map(({ id, title }) => ({ id, title }));
      return;
    }
    const { items } = await client.chats.listIds({ pageSize: 200 }).page();
    const titles = await Promise.all(items.slice(0, 60).map((chatId) => client.chats.get({ chatId }).catch(() => undefined)));
    this.chats.value = items.map((id, i) => ({ id, title: titles[i]?.title ?? "" })).sort((a, b) => ((a.title || a.id) < (b.title || b.id) ? -1 : 1));
  }

  /** open opens the log of a chat, at a seq or at its head. */
  async open(chatId: string, seq: number): Promise<void> {
    this.close();
    this.end = new AbortController();
    const { signal } = this.end;
    this.chatId.value = chatId;
    this.events.value = new Map();
    this.states.clear();
    this.pages = new Set();
    this.head.value = this.seq.value = 0;
    this.state.value = undefined;
    this.error.value = undefined;
    try {
      const { items } = await client.log.listEvents({ chatId, pageSize: 1 }, { signal }).page();
      if (signal.aborted) {
        return;
      }
      this.head.value = items.at(-1)?.seq ?? 0;
      this.go(seq > 0 ? Math.min(seq, this.head.value) : this.head.value);
      void this.follow(signal);
    } catch (error) {
      this.fail(error, signal);
    }
  }

  close(): void {
    this.end.abort();
    clearTimeout(this.timer);
  }

  /** go moves to a seq. The state follows when the seq rests. */
  go(seq: number): void {
    const to = Math.max(1, Math.min(seq, this.head.value));
    this.seq.value = to;
    const { signal } = this.end;
    void this.page(to, signal);
    clearTimeout(this.timer);
    const kept = this.states.get(to);
    if (kept) {
      this.state.value = kept;
      return;
    }
    this.timer = setTimeout(() => void this.load(to, signal), settleMs);
  }

  /** page loads the page of events with a seq. */
  private async page(seq: number, signal: AbortSignal): Promise<void> {
    const n = Math.floor((seq - 1) / pageSize);
    if (this.pages.has(n)) {
      return;
    }
    this.pages.add(n);
    try {
      const { items } = await client.log.listEvents({ chatId: this.chatId.value, afterSeq: n * pageSize, pageSize }, { signal }).page();
      if (!signal.aborted) {
        this.add(items);
      }
    } catch (error) {
      this.pages.delete(n);
      this.fail(error, signal);
    }
  }

  private add(events: readonly Event[]): void {
    const all = new Map(this.events.value);
    events.forEach((event) => all.set(event.seq, event));
    this.events.value = all;
  }

  private async load(seq: number, signal: AbortSignal): Promise<void> {
    const chatId = this.chatId.value;
    try {
      const [chat, members, messages] = await Promise.all([
        client.chats.get({ chatId, atSeq: seq }, { signal }),
        client.chats.listMembers({ chatId, atSeq: seq, pageSize: 100 }, { signal }).page(),
        client.messages.list({ chatId, atSeq: seq, pageSize: messagesShown }, { signal }).page(),
      ]);
      if (signal.aborted) {
        return;
      }
      const sorted = [...members.items].sort((a, b) => a.sinceSeq - b.sinceSeq || (a.userId < b.userId ? -1 : 1));
      const state = { seq, chat, members: sorted, messages: messages.items, more: messages.nextPageToken !== "" };
      if (this.states.size >= statesKept) {
        this.states.clear();
      }
      this.states.set(seq, state);
      if (this.seq.value === seq) {
        this.state.value = state;
        this.error.value = undefined;
      }
    } catch (error) {
      this.fail(error, signal);
    }
  }

  private fail(error: unknown, signal: AbortSignal): void {
    if (!signal.aborted) {
      this.error.value = error;
    }
  }

  /** follow adds events as they happen. At the head, the present seq follows them. */
  private async follow(signal: AbortSignal): Promise<void> {
    const actor = isService.value ? {} : { actorId: session.value!.id };
    try {
      const chats = [{ chatId: this.chatId.value, afterSeq: this.head.value }];
      for await (const message of client.feed({ chats, ...actor, durableOnly: true, signal, onStateChange: (state) => (this.live.value = state === "live") })) {
        if (signal.aborted) {
          return;
        }
        if (message.kind === "event") {
          const atHead = this.seq.value === this.head.value;
          this.head.value = message.seq;
          this.add([message]);
          if (atHead) {
            this.go(message.seq);
          }
        }
      }
    } catch (error) {
      if (!hasCode(error, "permission_denied")) {
        this.fail(error, signal);
      }
    }
  }
}
