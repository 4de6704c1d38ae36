import type { Server as HttpServer } from "node:http";
import { ChatcoreError, type Client } from "@chatcore/client";
import { Server } from "socket.io";
import type { ChatServer, ChatSocket, Reply } from "./protocol.js";
import { Rooms, userRoom, wireEvent } from "./rooms.js";

const beatMs = 20_000;

/** serveChat answers Socket.IO at an HTTP server. done resolves after close, and rejects if the feed ends with an error. */
export function serveChat(http: HttpServer, client: Client): { done: Promise<void>; close(): Promise<void> } {
  const io: ChatServer = new Server(http, { serveClient: true });
  const rooms = new Rooms(io, client);
  io.use((socket, next) => {
    const { userId, positions = {} } = socket.handshake.auth as { userId?: unknown; positions?: { [chatId: string]: number } };
    if (typeof userId !== "string" || userId === "") {
      return next(new Error("auth.userId is missing")); // here a server checks the token of its user
    }
    const gone = new AbortController();
    socket.data = { userId, chats: new Set(), positions: new Map(Object.entries(positions)), gone: gone.signal };
    socket.once("disconnect", () => gone.abort());
    next();
  });
  io.on("connection", (socket) => {
    void socket.join(userRoom(socket.data.userId));
    answer(socket, client, rooms);
    begin(socket, client, rooms).catch(() => socket.conn.close()); // the client connects again, and gets what it misses
  });
  const timer = setInterval(() => io.sockets.sockets.forEach((socket) => void beat(socket, client, rooms).catch(() => undefined)), beatMs);
  return {
    done: rooms.run(),
    async close() {
      clearInterval(timer);
      rooms.close();
      await io.close();
    },
  };
}

/** begin has a socket join the rooms of all chats of its user. The client gives the seq of the last event that it has of each chat. */
async function begin(socket: ChatSocket, client: Client, rooms: Rooms): Promise<void> {
  await beat(socket, client, rooms, socket.data.positions.size === 0);
  for (const [chatId, afterSeq] of socket.data.positions) {
    if (!socket.data.chats.has(chatId)) {
      await farewell(socket, client, chatId, afterSeq);
    }
  }
}

/** farewell gives a socket the events of a chat up to the end of the user's membership. */
async function farewell(socket: ChatSocket, client: Client, chatId: string, afterSeq: number): Promise<void> {
  const { userId: actorId, gone } = socket.data;
  try {
    for await (const message of client.feed({ actorId, chats: [{ chatId, afterSeq }], durableOnly: true, signal: gone })) {
      if (message.kind === "event") {
        socket.emit("event", wireEvent(message));
      } else if (message.kind === "chatLeft" || message.kind === "caughtUp") {
        break;
      }
    }
  } catch {
    // The user was never a member.
  }
  socket.emit("left", chatId);
}

/** beat records that the user is online, and joins the rooms of chats that the user has meanwhile become a member of. */
async function beat(socket: ChatSocket, client: Client, rooms: Rooms, atHeads = false): Promise<void> {
  const { userId, positions } = socket.data;
  await client.presence.heartbeat({ userId, deviceId: "web", connectionId: socket.id });
  const chats: [chatId: string, afterSeq: number | undefined][] = [];
  for (const chatId of await client.chats.listIds({ userId }).all()) {
    if (positions.has(chatId) || atHeads) {
      chats.push([chatId, positions.get(chatId)]);
    } else if (!socket.data.chats.has(chatId)) {
      const { sinceSeq } = await client.chats.getMember({ chatId, userId });
      chats.push([chatId, sinceSeq - 1]); // a chat that the client does not know: the event that made the user a member is its first
    }
  }
  await rooms.enter(socket, chats);
}

/** answer answers the requests of a socket. */
function answer(socket: ChatSocket, client: Client, rooms: Rooms): void {
  const { userId } = socket.data;
  socket.on("send", (request, reply) => {
    const { chatId, messageId, content } = request;
    void replied(reply, async () => ({ seq: (await client.messages.send({ chatId, messageId, content, actorId: userId })).seq }));
  });
  socket.on("join", (chatId, afterSeq, reply) => {
    void replied(reply, async () => {
      await client.chats.getMember({ chatId, userId }); // not_found for anyone else
      await rooms.enter(socket, [[chatId, afterSeq]]);
      return {};
    });
  });
  socket.on("typing", (chatId, typing) => {
    const { startTyping, stopTyping } = client.presence;
    (typing ? startTyping({ chatId, actorId: userId }) : stopTyping({ chatId, actorId: userId })).catch(() => undefined);
  });
  socket.once("disconnect", () => {
    [...socket.data.chats].forEach((chatId) => rooms.leave(socket, chatId));
    client.presence.disconnect({ userId, deviceId: "web", connectionId: socket.id }).catch(() => undefined);
  });
}

async function replied<T>(reply: (reply: Reply<T>) => void, action: () => Promise<T>): Promise<void> {
  try {
    reply((await action()) as Reply<T>);
  } catch (error) {
    const { code, reason } = error instanceof ChatcoreError ? error : { code: "internal", reason: "" };
    reply({ error: { code, reason } });
  }
}
