import { computed, signal } from "@preact/signals";
import { hasCode, newId, type Event, type FeedMessage, type FeedState, type Hiding, type ListedChat, type Member, type Message, type RestrictedUser, type Status } from "@chatcore/client";
import { client, isService } from "../session";
import { know } from "../users";
import { foldMark, foldMessage, previewOf } from "./fold";

/** Outgoing is a message that is being sent, or could not be. */
export interface Outgoing {
  id: string;
  chatId: string;
  threadId: string;
  content: string;
  replyTo: string;
  error?: unknown;
}

const heartbeatMs = 20_000;
const typingMs = 2_500;
const refreshMs = 250;
const viewMs = 1_000; // after which the views of a server have a message
const viewTries = 5;
const pageSize = 60;

/** PaneModel is the client of one user: its chats, the open chat, and a feed that keeps them up to date. */
export class PaneModel {
  readonly user = signal("");
  readonly chats = signal<readonly ListedChat[] | undefined>(undefined);
  readonly chatId = signal("");
  readonly messages = signal<readonly Message[] | undefined>(undefined);
  /** threadId is the root of the thread that is shown instead of the chat, or "". */
  readonly threadId = signal("");
  /** thread is the root of that thread and its last replies. */
  readonly thread = signal<readonly Message[] | undefined>(undefined);
  readonly olderToken = signal("");
  readonly members = signal<readonly Member[]>([]);
  /** restrictions are the bans and mutes of the open chat, once they were asked for. */
  readonly restrictions = signal<readonly RestrictedUser[]>([]);
  readonly marks = signal<ReadonlyMap<string, number>>(new Map());
  readonly outgoing = signal<readonly Outgoing[]>([]);
  readonly typing = signal<ReadonlyMap<string, ReadonlyMap<string, number>>>(new Map());
  readonly statuses = signal<ReadonlyMap<string, Status>>(new Map());
  readonly feedState = signal<FeedState>("connecting");
  readonly listError = signal<unknown>(undefined);
  readonly chatError = signal<unknown>(undefined);
  /** actionError is why the last command failed. */
  readonly actionError = signal<unknown>(undefined);

  readonly chat = computed(() => this.chats.value?.find(({ id }) => id === this.chatId.value));
  readonly role = computed(() => this.members.value.find(({ userId }) => userId === this.user.value)?.role ?? "unspecified");
  /** moderates reports whether the user may ban and mute in the open chat. */
  readonly moderates = computed(() => !this.isDirect.value && (this.role.value === "owner" || this.role.value === "admin"));
  readonly isDirect = computed(() => this.chat.value?.kind === "direct");
  readonly unread = computed(() => (this.chats.value ?? []).reduce((sum, { unread }) => sum + unread, 0));

  private readonly connectionId = newId();
  private end = new AbortController();
  private wanted = ""; // chat to open once the list is there
  private refreshTimer: ReturnType<typeof setTimeout> | undefined;
  private readonly awaited = new Map<string, number>(); // chats with messages that are not in the list yet, and how often they are looked for
  private typedAt = 0;
  private marking = 0;
  private early: Event[] = []; // events of the open chat that came while it was loaded

  constructor(private readonly side: string) {}

  /** as returns who acts, for a request. A user that is signed in acts as itself. */
  private get as(): { actorId?: string } {
    return isService.value ? { actorId: this.user.value } : {};
  }

  private get reader(): { userId?: string } {
    return isService.value ? { userId: this.user.value } : {};
  }

  /** start becomes the client of a user, with a chat open. */
  start(user: string, chatId: string): void {
    this.stop();
    this.end = new AbortController();
    const { signal } = this.end;
    this.user.value = user;
    this.wanted = chatId;
    this.chats.value = undefined;
    this.listError.value = this.actionError.value = undefined;
    this.typing.value = new Map();
    this.statuses.value = new Map();
    this.outgoing.value = [];
    this.awaited.clear();
    this.show("");
    if (user === "") {
      return;
    }
    void this.beat(signal);
    const timer = setInterval(() => void this.beat(signal), heartbeatMs);
    const sweep = setInterval(() => this.sweepTyping(), 500);
    signal.addEventListener("abort", () => {
      clearInterval(timer);
      clearInterval(sweep);
      clearTimeout(this.refreshTimer);
    });
    void this.follow(signal);
    void this.refresh();
  }

  /** stop ends the client: the user's connection is gone for others. */
  stop(): void {
    if (this.user.value !== "" && !this.end.signal.aborted) {
      void client.presence.disconnect({ ...this.reader, deviceId: this.device, connectionId: this.connectionId }).catch(() => undefined);
    }
    this.end.abort();
  }

  private get device(): string {
    return "console-" + this.side;
  }

  private async beat(signal: AbortSignal): Promise<void> {
    await client.presence.heartbeat({ ...this.reader, deviceId: this.device, connectionId: this.connectionId }, { signal }).catch(() => undefined);
  }

  /** follow applies the messages of the user's feed. */
  private async follow(signal: AbortSignal): Promise<void> {
    this.feedState.value = "connecting";
    const feed = client.feed({ allChats: true, ...this.as, signal, onStateChange: (state) => (this.feedState.value = signal.aborted ? this.feedState.value : state) });
    try {
      for await (const message of feed) {
        if (signal.aborted) {
          return;
        }
        this.receive(message);
      }
    } catch (error) {
      if (!signal.aborted) {
        this.listError.value = error;
      }
    }
  }

  private receive(message: FeedMessage): void {
    switch (message.kind) {
      case "event":
        return this.event(message);
      case "typingStarted":
        return this.setTyping(message.chatId, message.userId, message.expiresAt?.getTime() ?? Date.now() + 5_000);
      case "typingStopped":
        return this.setTyping(message.chatId, message.userId, 0);
      case "userStatus":
        this.statuses.value = new Map(this.statuses.value).set(message.userId, message.status);
        return;
      case "skipped":
      case "resync":
        if (message.chatId === this.chatId.value || message.chatId === "") {
          void this.load();
        }
        return this.refreshSoon();
      case "chatLeft":
        if (message.chatId === this.chatId.value) {
          this.show("");
        }
        return this.refreshSoon();
      case "chatJoined":
        return this.refreshSoon();
    }
  }

  private event(event: Event): void {
    this.refreshSoon();
    if (event.messageNew) {
      this.setTyping(event.chatId, event.actorId, 0);
      this.outgoing.value = this.outgoing.value.filter(({ id }) => id !== event.messageNew!.messageId);
      this.bump(event);
    }
    if (event.chatId !== this.chatId.value) {
      return;
    }
    this.marks.value = foldMark(this.marks.value, event);
    if (this.messages.value === undefined) {
      this.early.push(event);
      return;
    }
    this.messages.value = foldMessage(this.messages.value, event);
    const { threadId, inChat } = event.messageNew ?? { threadId: "", inChat: false };
    if (this.thread.value && (!event.messageNew || threadId === this.threadId.value)) {
      this.thread.value = foldMessage(this.thread.value, event, this.threadId.value);
      this.readThread();
    }
    if (threadId !== "" && !inChat) {
      return;
    }
    if (event.chatUpdate) {
      void this.loadMembers();
    }
  }

  /**
   * bump shows a new message in the list of chats at once; the list is loaded anew a moment later. A chat that was hidden is in it once the server's views have
   * the message.
   */
  private bump(event: Event): void {
    const message = foldMessage([], event)[0];
    const found = this.chats.value?.find(({ id }) => id === event.chatId);
    if (!found) {
      this.awaited.set(event.chatId, viewTries);
    }
    if (!found || !message) {
      return;
    }
    const mine = event.actorId === this.user.value;
    const mentioned = !mine && (message.mentions.includes(this.user.value) || message.broadcast === "all");
    const bumped = {
      ...found, preview: previewOf(message), lastAt: message.sentAt, unread: mine ? 0 : found.unread + 1, mentions: mine ? 0 : found.mentions + (mentioned ? 1 : 0),
    };
    this.chats.value = [bumped, ...this.chats.value!.filter((chat) => chat !== found)];
  }

  private setTyping(chatId: string, userId: string, until: number): void {
    const chat = new Map(this.typing.value.get(chatId));
    if (until > Date.now()) {
      chat.set(userId, until);
    } else if (!chat.delete(userId)) {
      return;
    }
    this.typing.value = new Map(this.typing.value).set(chatId, chat);
  }

  private sweepTyping(): void {
    const now = Date.now();
    for (const [chatId, chat] of this.typing.value) {
      for (const [userId, until] of chat) {
        if (until <= now) {
          this.setTyping(chatId, userId, 0);
        }
      }
    }
  }

  private refreshSoon(after = refreshMs): void {
    clearTimeout(this.refreshTimer);
    this.refreshTimer = setTimeout(() => void this.refresh(), after);
  }

  /** lookAgain loads the list again, a few times, while chats with new messages are missing from it. */
  private lookAgain(items: readonly ListedChat[]): void {
    for (const [chatId, tries] of this.awaited) {
      if (tries === 0 || items.some(({ id }) => id === chatId)) {
        this.awaited.delete(chatId);
      } else {
        this.awaited.set(chatId, tries - 1);
        this.refreshSoon(viewMs);
      }
    }
  }

  /** refresh loads the list of chats. */
  async refresh(): Promise<void> {
    const { signal } = this.end;
    try {
      const { items } = await client.chats.list({ ...this.reader, pageSize: 100, previewsOnly: true }, { signal }).page();
      if (signal.aborted) {
        return;
      }
      this.chats.value = items;
      this.lookAgain(items);
      this.listError.value = undefined;
      if (this.chatId.value === "") {
        const next = items.find(({ id }) => id === this.wanted) ?? items[0];
        if (next) {
          this.show(next.id);
        }
      }
    } catch (error) {
      if (!signal.aborted) {
        this.listError.value = error;
        if (hasCode(error, "unavailable", "deadline_exceeded")) {
          this.refreshSoon();
        }
      }
    }
  }

  /** show opens a chat, or none. */
  show(chatId: string): void {
    this.stopTyping();
    this.chatId.value = this.wanted = chatId;
    this.messages.value = undefined;
    this.early = [];
    this.marking = 0;
    this.threadId.value = "";
    this.members.value = [];
    this.restrictions.value = [];
    this.marks.value = new Map();
    this.olderToken.value = "";
    this.chatError.value = undefined;
    if (chatId !== "") {
      void this.load();
    }
  }

  /** load loads the open chat. */
  async load(): Promise<void> {
    const chatId = this.chatId.value;
    const { signal } = this.end;
    const current = () => !signal.aborted && this.chatId.value === chatId;
    try {
      const [page] = await Promise.all([client.messages.list({ chatId, ...this.as, pageSize }, { signal }).page(), this.loadMembers(), this.loadMarks()]);
      if (current()) {
        this.messages.value = this.early.reduce<readonly Message[]>((messages, event) => foldMessage(messages, event), page.items);
        this.early = [];
        this.olderToken.value = page.nextPageToken;
        this.chatError.value = undefined;
      }
    } catch (error) {
      if (current()) {
        this.chatError.value = error;
      }
    }
  }

  /** showThread shows the thread of a message instead of the chat, or the chat again for "". */
  async showThread(threadId: string): Promise<void> {
    const chatId = this.chatId.value;
    const { signal } = this.end;
    this.threadId.value = threadId;
    this.thread.value = undefined;
    if (threadId === "") {
      return;
    }
    const [root, page] = await Promise.all([
      client.messages.get({ chatId, ...this.as, messageId: threadId }, { signal }),
      client.messages.listThread({ chatId, ...this.as, threadId, pageSize }, { signal }).page(),
    ]);
    if (this.threadId.value === threadId) {
      this.thread.value = [root, ...page.items.reverse()];
      this.readThread();
    }
  }

  /** readThread moves the user's mark of the shown thread to its last reply. */
  private readThread(): void {
    const last = this.thread.value?.at(-1);
    if (last && last.id !== this.threadId.value && last.senderId !== this.user.value) {
      void client.messages.markThread({ chatId: this.chatId.value, ...this.as, threadId: this.threadId.value, messageId: last.id }).catch(() => undefined); // the next reply moves it
    }
  }

  /** loadOlder loads the page of messages before the present ones. */
  async loadOlder(): Promise<void> {
    const chatId = this.chatId.value;
    const { items, nextPageToken } = await client.messages.list({ chatId, ...this.as, pageSize, pageToken: this.olderToken.value }).page();
    if (this.chatId.value === chatId && this.messages.value) {
      const known = new Set(this.messages.value.map(({ id }) => id));
      this.messages.value = [...items.filter(({ id }) => !known.has(id)), ...this.messages.value];
      this.olderToken.value = nextPageToken;
    }
  }

  private async loadMembers(): Promise<void> {
    const chatId = this.chatId.value;
    const { signal } = this.end;
    const { items } = await client.chats.listMembers({ chatId, ...this.as, pageSize: 100 }, { signal }).page();
    if (this.chatId.value !== chatId) {
      return;
    }
    this.members.value = [...items].sort((a, b) => a.sinceSeq - b.sinceSeq || (a.userId < b.userId ? -1 : 1));
    know(...items.map(({ userId }) => userId));
    const statuses = await client.presence.getStatuses({ ...this.as, userIds: items.map(({ userId }) => userId) }, { signal }).catch(() => []);
    this.statuses.value = new Map([...this.statuses.value, ...statuses.map(({ userId, status }) => [userId, status] as const)]);
  }

  /** loadMarks finds the read marks in the last events of the log. A plain member may not read it: then marks show from now on. */
  private async loadMarks(): Promise<void> {
    const chatId = this.chatId.value;
    try {
      const { items } = await client.log.listEvents({ chatId, pageSize: 256 }, { signal: this.end.signal }).page();
      if (this.chatId.value === chatId) {
        this.marks.value = items.reduce(foldMark, this.marks.value);
      }
    } catch (error) {
      if (!hasCode(error, "permission_denied", "not_found", "canceled")) {
        throw error;
      }
    }
  }

  /** act runs a command, and shows why it failed. It returns whether it succeeded. */
  async act(command: () => Promise<unknown>): Promise<boolean> {
    try {
      await command();
      this.actionError.value = undefined;
      return true;
    } catch (error) {
      this.actionError.value = error;
      return false;
    }
  }

  /** send sends a message. It shows at once, and stays until the feed has brought it. */
  async send(content: string, replyTo: string, id = newId(), threadId = this.threadId.value): Promise<void> {
    const chatId = this.chatId.value;
    const others = this.outgoing.value.filter((message) => message.id !== id);
    const mentions = this.members.value.map(({ userId }) => userId).filter((userId) => userId !== this.user.value && content.split(/\s+/).includes(`@${userId}`));
    this.outgoing.value = [...others, { id, chatId, threadId, content, replyTo }];
    this.typedAt = 0;
    try {
      await client.messages.send({ chatId, ...this.as, messageId: id, content, replyTo, threadId, mentions });
    } catch (error) {
      this.outgoing.value = this.outgoing.value.map((message) => (message.id === id ? { ...message, error } : message));
    }
  }

  /** discard forgets a message that could not be sent. */
  discard(id: string): void {
    this.outgoing.value = this.outgoing.value.filter((message) => message.id !== id);
  }

  edit(messageId: string, content: string): Promise<boolean> {
    return this.act(() => client.messages.edit({ chatId: this.chatId.value, ...this.as, messageId, content }));
  }

  delete(messageId: string): Promise<boolean> {
    return this.act(() => client.messages.delete({ chatId: this.chatId.value, ...this.as, messageId }));
  }

  /** react puts the user's reaction to a message, or takes it off. */
  react(message: Message, emoji: string): Promise<boolean> {
    const mine = message.reactions.some((group) => group.emoji === emoji && group.userIds.includes(this.user.value));
    const request = { chatId: this.chatId.value, ...this.as, messageId: message.id, emoji };
    return this.act(() => (mine ? client.messages.removeReaction(request) : client.messages.addReaction(request)));
  }

  /** pin pins a message to the chat, or removes its pin. */
  pin(message: Message): Promise<boolean> {
    const request = { chatId: this.chatId.value, ...this.as, messageId: message.id };
    return this.act(() => (message.pinnedAt ? client.messages.unpin(request) : client.messages.pin(request)));
  }

  /** pins returns the pinned messages of the open chat. */
  pins(): Promise<Message[]> {
    return client.messages.listPins({ chatId: this.chatId.value, ...this.as });
  }

  /** configure changes the user's settings for the open chat. */
  async configure(settings: { favourite?: boolean; hidden?: Exclude<Hiding, "unspecified">; mutedUntil?: Date }): Promise<void> {
    await client.chats.setSettings({ chatId: this.chatId.value, ...this.as, ...settings });
    await this.refresh();
  }

  /** blocks reports whether the user blocks the other participant of the open chat. */
  async blocks(): Promise<boolean> {
    const { items } = await client.chats.listBlocked({ ...this.reader, pageSize: 256 }).page();
    return items.some(({ chatId }) => chatId === this.chatId.value);
  }

  /** block has neither the user nor the other participant reach the other, or lifts that. */
  async block(lift: boolean): Promise<void> {
    await client.chats.block({ ...this.as, userId: this.chat.value!.peerId, lift });
  }

  /** typed notes that the user types. */
  typed(): void {
    const now = Date.now();
    if (now - this.typedAt >= typingMs) {
      this.typedAt = now;
      void client.presence.startTyping({ chatId: this.chatId.value, ...this.as }).catch(() => undefined);
    }
  }

  /** stopTyping notes that the user no longer types. */
  stopTyping(): void {
    if (this.typedAt !== 0 && this.chatId.value !== "") {
      void client.presence.stopTyping({ chatId: this.chatId.value, ...this.as }).catch(() => undefined);
    }
    this.typedAt = 0;
  }

  /** readAll moves the user's read mark to the last message that is shown. */
  readAll(): void {
    const last = this.messages.value?.at(-1);
    const chatId = this.chatId.value;
    if (!last || last.senderId === this.user.value || last.seq <= Math.max(this.marks.value.get(this.user.value) ?? 0, this.marking)) {
      if (this.chat.value && this.chat.value.unread > 0 && last && last.seq <= (this.marks.value.get(this.user.value) ?? 0)) {
        this.refreshSoon();
      }
      return;
    }
    this.marking = last.seq;
    client.messages
      .markRead({ chatId, ...this.as, seq: last.seq })
      .then(() => this.refreshSoon())
      .catch(() => undefined) // the next message moves it
      .finally(() => (this.marking = 0));
  }

  setStatus(status: Exclude<Status, "unspecified">): Promise<boolean> {
    return this.act(async () => {
      await client.presence.setStatus({ ...this.reader, status });
      this.statuses.value = new Map(this.statuses.value).set(this.user.value, status);
    });
  }

  /** create creates a chat with members, and opens it. */
  async create(chatId: string, title: string, memberIds: string[]): Promise<void> {
    await client.chats.create({ chatId, ...this.as, title, memberIds });
    know(...memberIds);
    this.show("");
    this.wanted = chatId;
    this.show(chatId);
    this.refreshSoon();
  }

  async addMember(userId: string): Promise<void> {
    await client.chats.addMember({ chatId: this.chatId.value, ...this.as, userId });
    know(userId);
  }

  async removeMember(userId: string): Promise<void> {
    await client.chats.removeMember({ chatId: this.chatId.value, ...this.as, userId });
  }

  /** loadRestrictions loads the bans and mutes of the open chat. */
  async loadRestrictions(): Promise<void> {
    const chatId = this.chatId.value;
    if (!this.moderates.value) {
      return;
    }
    const { items } = await client.chats.listRestrictions({ chatId, ...this.as, pageSize: 100 }, { signal: this.end.signal }).page();
    if (this.chatId.value === chatId) {
      this.restrictions.value = items;
    }
  }

  /** restrict bans or mutes a user in the open chat, or lifts that. */
  async restrict(userId: string, restriction: "ban" | "mute", how: { until?: Date; lift?: boolean }): Promise<void> {
    await client.chats.restrict({ chatId: this.chatId.value, ...this.as, userId, restriction, ...how });
    await this.loadRestrictions();
  }

  /** openDirect opens the direct chat with another user. */
  async openDirect(userId: string): Promise<void> {
    const { chatId } = await client.chats.openDirect({ ...this.as, userId });
    this.show(chatId);
    this.refreshSoon();
  }

  async rename(title: string): Promise<void> {
    await client.chats.rename({ chatId: this.chatId.value, ...this.as, title });
  }
}
