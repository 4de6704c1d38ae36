export const chatRoom = (chatId) => `chat:${chatId}`;
export const userRoom = (userId) => `user:${userId}`;
/**
 * Rooms broadcasts the events of chats to the rooms of this instance, from one feed of a service. A socket receives the events that it has missed from a feed
 * of its user. It joins the room when both are at the same seq, so that it receives each event once, in order.
 */
export class Rooms {
    io;
    client;
    feed;
    rooms = new Map();
    constructor(io, client) {
        this.io = io;
        this.client = client;
        this.feed = client.feed({ chats: [], maxCatchUp: 10_000, onStateChange: (state, error) => console.error(`feed ${state}`, error?.message ?? "") });
    }
    /** run broadcasts until close. It throws if the feed ends with an error. */
    async run() {
        for await (const message of this.feed) {
            this.broadcast(message);
        }
    }
    close() {
        this.feed.close();
    }
    /** enter has a socket join the rooms of chats of its user, each after the last event that the client has. It returns when the socket is in all rooms. */
    async enter(socket, chats) {
        const joiners = new Map();
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
        }
        finally {
            joiners.forEach((joiner) => this.rooms.get(joiner.chatId)?.joiners.delete(joiner));
        }
    }
    /** leave has a socket leave a room, or end to join it. */
    leave(socket, chatId) {
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
    begin(joiner) {
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
    end(joiners, chatId, missed) {
        joiners.delete(chatId);
        if (joiners.size === 0) {
            missed.close();
        }
    }
    /** catchUp gives a socket a message that it has missed. An event beyond the position of the room comes through the room, which the socket has joined by then. */
    catchUp(joiners, message) {
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
    admit(room, joiner) {
        const { socket, chatId, sent } = joiner;
        if (sent !== undefined && sent === room.position && room.joiners.delete(joiner)) {
            void socket.join(chatRoom(chatId)); // at once: the rooms are in memory
            socket.emit("joined", chatId, sent);
            joiner.end();
        }
    }
    broadcast(message) {
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
        }
        else if (message.kind !== "caughtUp" || room.reload) {
            room.reload = false;
            to.emit("reload", message.chatId, message.kind === "skipped" ? message.toSeq : message.seq);
        }
        room.position = message.kind === "skipped" ? message.toSeq : message.seq;
        room.joiners.forEach((joiner) => this.admit(room, joiner));
    }
    /** changeMembers has the sockets of a user join the room of a chat that the user became a member of, or leave it. */
    changeMembers({ chatId, seq, chatUpdate }) {
        if (chatUpdate?.change !== "member_added" && chatUpdate?.change !== "member_removed") {
            return;
        }
        for (const id of this.io.sockets.adapter.rooms.get(userRoom(chatUpdate.userId)) ?? []) {
            const socket = this.io.sockets.sockets.get(id);
            if (chatUpdate.change === "member_added") {
                this.enter(socket, [[chatId, seq - 1]]).catch(() => socket.conn.close()); // the client connects again, and gets what it misses
            }
            else if (socket.rooms.has(chatRoom(chatId))) {
                socket.emit("left", chatId);
                this.leave(socket, chatId);
            }
        }
    }
    async broadcastStatus({ userId, status }) {
        const chatIds = await this.client.chats.listIds({ userId }).all().catch(() => []);
        const rooms = chatIds.filter((chatId) => this.rooms.has(chatId)).map(chatRoom);
        if (rooms.length > 0) {
            this.io.to(rooms).emit("status", userId, status); // once to each socket
        }
    }
}
/** wireEvent returns an event as a socket receives it. */
export function wireEvent({ kind: _, occurredAt, ...event }) {
    return { ...event, occurredAt: occurredAt?.toISOString() ?? "" };
}
