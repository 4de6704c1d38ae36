// A server of feeds that misbehaves as a test says. It speaks the Connect protocol over HTTP/1.1, byte by byte.
import { createServer } from "node:http";
import { once } from "node:events";
import { createClient } from "../dist/index.js";

const envelope = (flags, value) => {
  const data = Buffer.from(JSON.stringify(value));
  const head = Buffer.alloc(5);
  head[0] = flags;
  head.writeUInt32BE(data.length, 1);
  return Buffer.concat([head, data]);
};

/** errorOf returns an error as the server writes it. Without a reason it has no detail, as that of a proxy. */
const errorOf = (code, reason, detail) => ({
  code,
  message: "refused",
  details: reason ? [{ type: "chatcore.v1.ErrorDetail", value: reasonBytes(reason), debug: { reason, ...detail } }] : [],
});
const reasonBytes = (reason) => Buffer.concat([Buffer.from([0x0a, reason.length]), Buffer.from(reason)]).toString("base64").replace(/=+$/, "");

/** Stream is one stream of the server. */
export class Stream {
  constructor(request, response) {
    this.request = request;
    this.response = response;
    this.closed = once(response, "close");
  }
  /** send writes messages, such as { event: { chatId: "garden", seq: 1 } }. It returns whether the client keeps up. */
  send(...messages) {
    return this.raw(Buffer.concat(messages.map((message) => envelope(0, message))));
  }
  raw(bytes) {
    return this.response.write(bytes);
  }
  /** end ends the stream as the protocol says, with or without an error. */
  end(code, reason) {
    this.response.end(envelope(2, code ? { error: errorOf(code, reason) } : {}));
  }
  /** cut breaks the connection off, in the middle of a message. */
  cut(bytes = envelope(0, { heartbeat: {} }).subarray(0, 6)) {
    this.response.write(bytes, () => this.response.destroy());
  }
  /** stop ends the response in the middle of a message, without a break of the connection. */
  stop() {
    this.response.end(envelope(0, { heartbeat: {} }).subarray(0, 6));
  }
  get afterSeqs() {
    return Object.fromEntries((this.request.chats ?? []).map(({ chatId, afterSeq }) => [chatId, afterSeq]));
  }
}

/** serveFeeds has each request of Watch answered by serve(stream, n), where n counts from 1. It returns the address, the streams and the headers. */
export async function serveFeeds(t, serve) {
  const streams = [];
  const headers = [];
  const server = createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) {
      chunks.push(chunk);
    }
    response.on("error", () => {});
    const body = Buffer.concat(chunks);
    const stream = new Stream(JSON.parse(body.subarray(5).toString()), response);
    streams.push(stream);
    headers.push(request.headers);
    response.setHeader("Content-Type", "application/connect+json");
    await serve(stream, streams.length, request);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${server.address().port}`, streams, headers, server };
}

/** event returns a message of a log of messages. */
export const event = (chatId, seq) => ({ event: { id: `${chatId}-${seq}`, chatId, seq, type: "message:new", actorId: "ada", messageNew: { messageId: `m${seq}`, content: `note ${seq}` } } });
export const started = (logId = "log-1") => ({ started: { logId } });

/** take returns the next messages of a feed. */
export async function take(feed, count) {
  const messages = [];
  while (messages.length < count) {
    const { done, value } = await feed.next();
    if (done) {
      break;
    }
    messages.push(value);
  }
  return messages;
}

/** brief returns messages as texts, such as "garden 4" of an event and "caughtUp garden 4". */
export const brief = (messages) => messages.map((m) => (m.kind === "event" ? `${m.chatId} ${m.seq}` : [m.kind, m.chatId || m.userId, m.seq ?? m.toSeq].filter((x) => x !== undefined).join(" ")));

export const garden = { chats: [{ chatId: "garden", afterSeq: 0 }] };

/** feedOf returns a feed that ends with the test. */
export function feedOf(t, url, options = garden, clientOptions = {}) {
  const feed = createClient({ url, ...clientOptions }).feed(options);
  t.after(() => feed.close());
  return feed;
}
