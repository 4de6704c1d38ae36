import type { Event, Status } from "@chatcore/client";
import type { Server, Socket } from "socket.io";

/** ChatEvent is a durable event of a chat. Socket.IO turns its Date into text. */
export type ChatEvent = Omit<Event, "occurredAt"> & { occurredAt: string };

/** Reply is the result of a request of a socket. */
export type Reply<T> = (T & { error?: undefined }) | { error: { code: string; reason: string } };

/** SendRequest is a message to send. The client makes messageId once, so that it may repeat the request. */
export interface SendRequest {
  chatId: string;
  messageId: string;
  content: string;
}

/** Requests are the requests of a socket. */
export interface Requests {
  /** Posts a message. */
  send(request: SendRequest, reply: (reply: Reply<{ seq: number }>) => void): void;
  /** Joins the room of a chat of which the user is a member. afterSeq is the last event that the client has; undefined is the head. */
  join(chatId: string, afterSeq: number | undefined, reply: (reply: Reply<object>) => void): void;
  /** Publishes that the user types, or does not any more. */
  typing(chatId: string, typing: boolean): void;
}

/** Messages are what a socket receives. Durable events come in the order of seq, each once. */
export interface Messages {
  event(event: ChatEvent): void;
  /** The socket is in the room of a chat: events after seq follow as they happen. */
  joined(chatId: string, seq: number): void;
  /** The user is no member of a chat any more. */
  left(chatId: string): void;
  /** Events up to seq are left out, because there were too many, or because the log was replaced. The client loads the chat anew. */
  reload(chatId: string, seq: number): void;
  typing(chatId: string, userId: string, typing: boolean): void;
  status(userId: string, status: Status): void;
}

/** SocketData is what the server knows about a socket. */
export interface SocketData {
  userId: string;
  /** The chats of the socket: joined, or about to be joined. */
  chats: Set<string>;
  /** Seq of the last event that the client had of each chat when it connected. */
  positions: Map<string, number>;
  /** Aborts when the socket disconnects. */
  gone: AbortSignal;
}

export type ChatServer = Server<Requests, Messages, object, SocketData>;
export type ChatSocket = Socket<Requests, Messages, object, SocketData>;
