import { io, type Socket } from "socket.io-client";
import type { ChatEvent, Messages, Reply, Requests } from "./protocol.js";

/** ChatClient is the connection of one user, in a browser or in Node. After each connection it gets the events that it has missed. */
export class ChatClient {
  /** Seq of the last event that the client has, of each chat. A page that keeps its events keeps these too. */
  readonly positions: { [chatId: string]: number } = {};
  readonly socket: Socket<Messages, Requests>;

  constructor(url: string, userId: string, onEvent: (event: ChatEvent) => void, options: { transports?: string[] } = {}) {
    this.socket = io(url, {
      ...options,
      auth: (give) => give({ userId, positions: this.positions }),
      retries: Infinity, // requests wait for a connection, and are given again; the server knows them by their ids
      ackTimeout: 10_000,
    });
    this.socket.on("event", (event) => {
      this.positions[event.chatId] = event.seq;
      onEvent(event);
    });
    const move = (chatId: string, seq: number) => {
      this.positions[chatId] = seq;
    };
    this.socket.on("joined", move);
    this.socket.on("reload", move); // here a client loads the chat anew
    this.socket.on("left", (chatId) => {
      delete this.positions[chatId];
    });
  }

  /** send posts a message. The same messageId posts it once, however often it is given. */
  send(chatId: string, content: string, messageId: string = crypto.randomUUID()): Promise<Reply<{ seq: number }>> {
    return this.socket.emitWithAck("send", { chatId, content, messageId });
  }

  typing(chatId: string, typing: boolean): void {
    this.socket.volatile.emit("typing", chatId, typing);
  }

  close(): void {
    this.socket.close();
  }
}
