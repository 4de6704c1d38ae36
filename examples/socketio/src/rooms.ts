import type { Client, Feed, FeedMessage } from "@chatcore/client";
import type { ChatEvent, ChatServer, ChatSocket } from "./protocol.js";

/** Room is a chat of which a socket of this instance is a member. */
interface Room {
  /** Seq of the last event that the room has received. undefined: the feed has not begun the chat yet. */
  position: number | undefined;
  /** Whether the clients load the chat anew once the position is known. */
  reload: boolean;
  /** Number of sockets that are in the room, or about to join it. */
  sockets: number;
  readonly joiners: Set<Joiner>;
}

/** Joiner is a socket that receives the events that it has missed of a chat, before it joins the room. */
interface Joiner {
  readonly socket: ChatSocket;
  readonly chatId: string;
  /** Seq of the last event that the client has. undefined: the head. */
  sent: number | undefined;
  /** Called once the socket is in the room, or will not be. */
  end(): void;
}

type FeedEvent = FeedMessage & { kind: "event" };

export const chatRoom = (chatId: string) => `chat:${chatId}`;
export const userRoom = (userId: string) => `user:${userId}`;

/**
 * Rooms broadcasts the events of chats to the rooms of this instance, from one feed of a service. A socket receives the events that it has missed from a feed
 * of its user. It joins the room when both are at the same seq, so that it receives each event once, in order.
 */
export class Rooms {
  private readonly feed: Feed;
  private readonly rooms = new Map<string, Room>();

  constructor(
    private readonly io: ChatServer,
    private readonly client: Client,
  ) {
    this.feed = client.feed({ chats: [], maxCatchUp: 10_000, onStateChange: (state, error) => console.error(`feed ${state}`, error?.message ?? "") });
  }

  /** run broadcasts until close. It throws if the feed ends with an error. */
  async run(): Promise<void> {
    for await (const message of this.feed) {
      this.broadcast(message);
    }
  }

  close(): void {
    this.feed.close();
  }

  /** enter has a socket join the rooms of chats of its user, each after the last event that the client has. It returns when the socket is in all rooms. */
  async enter(socket: ChatSocket, chats: Iterable<readonly [chatId: string, afterSeq: number | undefined]>): Promise<void> {
    const joiners = new Map<string, Joiner>();
    for (const [chatId, sent] of chats) {
      if (!socket.data.chats.has(chatId) && !socket.data.gone.aborted) {
        joiners.set(chatId, { socket, chatId, sent, end: () => this.end(joiners, chatId, missed) });
      }
    }
    if (joiners.size === 0) {
      return;
    }
    const positions = Array.from(joiners.values(), ({ chatId, sent }) => ({ chatId, afterSeq: sent }));
    const missed = this.client.feed({ actorId: socket.data.userId, chats: positions, durableOnly: true, signal: socket.data.gone });
    joiners.forEach((joiner) => this.begin(joiner));
    try {
      for await (const message of missed) {
        this.catchUp(joiners, message);
      }
    } finally {
      joiners.forEach((joiner) => this.rooms.get(joiner.chatId)?.joiners.delete(joiner));
    }
  }

  /** leave has a socket leave a room, or end to join it. */
  leave(socket: ChatSocket, chatId: string): void {
    const room = this.rooms.get(chatId);
    if (room === undefined || !socket.data.chats.delete(chatId)) {
      return;
    }
    socket.data.positions.delete(chatId);
    void socket.leave(chatRoom(chatId));
    room.joiners.forEach((joiner) => joiner.socket === socket && room.joiners.delete(joiner));
    room.sockets--;
    if (room.sockets === 0) {
      this.rooms.delete(chatId);
      this.feed.remove(chatId);
    }
  }

  private begin(joiner: Joiner): void {
    const { socket, chatId } = joiner;
    socket.data.chats.add(chatId);
    let room = this.rooms.get(chatId);
    if (room === undefined) {
      room = { position: undefined, reload: false, sockets: 0, joiners: new Set() };
      this.rooms.set(chatId, room);
      this.feed.add(chatId);
    }
    room.sockets++;
    room.joiners.add(joiner);
  }

  private end(joiners: Map<string, Joiner>, chatId: string, missed: Feed): void {
    joiners.delete(chatId);
    if (joiners.size === 0) {
      missed.close();
    }
  }

  /** catchUp gives a socket a message that it has missed. An event beyond the position of the room comes through the room, which the socket has joined by then. */
  private catchUp(joiners: Map<string, Joiner>, message: FeedMessage): void {
    if (message.kind === "resync" && message.chatId === "") {
      joiners.forEach((joiner) => (joiner.sent = undefined));
      return;
    }
    const joiner = "chatId" in message ? joiners.get(message.chatId) : undefined;
    const room = joiner && this.rooms.get(joiner.chatId);
    if (joiner === undefined || room === undefined) {
      return;
    }
    const { socket, chatId } = joiner;
    switch (message.kind) {
      case "event":
        if (room.position === undefined || message.seq <= room.position) {
          socket.emit("event", wireEvent(message));
          joiner.sent = message.seq;
        }
        break;
      case "caughtUp":
        joiner.sent = message.seq;
        break;
      case "skipped":
        socket.emit("reload", chatId, message.toSeq);
        joiner.sent = message.toSeq;
        break;
      case "resync":
        socket.emit("reload", chatId, message.seq);
        joiner.sent = message.seq;
        break;
      case "chatLeft":
        socket.emit("left", chatId);
        this.leave(socket, chatId);
        return joiner.end();
    }
    this.admit(room, joiner);
  }

  /** admit has a socket join the room if the client has exactly the events that the room has received. */
  private admit(room: Room, joiner: Joiner): void {
    const { socket, chatId, sent } = joiner;
    if (sent !== undefined && sent === room.position && room.joiners.delete(joiner)) {
      void socket.join(chatRoom(chatId)); // at once: the rooms are in memory
      socket.emit("joined", chatId, sent);
      joiner.end();
    }
  }

  private broadcast(message: FeedMessage): void {
    switch (message.kind) {
      case "typingStarted":
      case "typingStopped":
        this.io.to(chatRoom(message.chatId)).emit("typing", message.chatId, message.userId, message.kind === "typingStarted");
        return;
      case "userStatus":
        void this.broadcastStatus(message);
        return;
      case "resync":
        if (message.chatId === "") {
          this.rooms.forEach((room) => Object.assign(room, { position: undefined, reload: true }));
          return;
        }
    }
    const room = this.rooms.get(message.chatId);
    if (room === undefined) {
      return;
    }
    const to = this.io.to(chatRoom(message.chatId));
    if (message.kind === "event") {
      to.emit("event", wireEvent(message));
      this.changeMembers(message);
    } else if (message.kind !== "caughtUp" || room.reload) {
      room.reload = false;
      to.emit("reload", message.chatId, message.kind === "skipped" ? message.toSeq : message.seq);
    }
    room.position = message.kind === "skipped" ? message.toSeq : message.seq;
    room.joiners.forEach((joiner) => this.admit(room, joiner));
  }

  /** changeMembers has the sockets of a user join the room of a chat that the user became a member of, or leave it. */
  private changeMembers({ chatId, seq, chatUpdate }: FeedEvent): void {
    if (chatUpdate?.change !== "member_added" && chatUpdate?.change !== "member_removed") {
      return;
    }
    for (const id of this.io.sockets.adapter.rooms.get(userRoom(chatUpdate.userId)) ?? []) {
      const socket = this.io.sockets.sockets.get(id)!;
      if (chatUpdate.change === "member_added") {
        this.enter(socket, [[chatId, seq - 1]]).catch(() => socket.conn.close()); // the client connects again, and gets what it misses
      } else if (socket.rooms.has(chatRoom(chatId))) {
        socket.emit("left", chatId);
        this.leave(socket, chatId);
      }
    }
  }

  private async broadcastStatus({ userId, status }: FeedMessage & { kind: "userStatus" }): Promise<void> {
    const chatIds = await this.client.chats.listIds({ userId }).all().catch(() => []);
    const rooms = chatIds.filter((chatId) => this.rooms.has(chatId)).map(chatRoom);
    if (rooms.length > 0) {
      this.io.to(rooms).emit("status", userId, status); // once to each socket
    }
  }
}

/** wireEvent returns an event as a socket receives it. */
export function wireEvent({ kind: _, occurredAt, ...event }: FeedEvent): ChatEvent {
  return { ...event, occurredAt: occurredAt?.toISOString() ?? "" };
}
