// The module with which services in TypeScript use chatcore's Redis, on the real node-redis: the three clients, the helpers, the constants and the
// failure defaults that its guide describes.
import { createClient } from 'redis';

export const REDIS_CONFIG = {
  TTL: { SESSION: 3600, USER_STATUS: 300, CHAT_LIST: 600, MESSAGE_CACHE: 1800, CONTACT_LIST: 600, TYPING_INDICATOR: 5, PRESENCE: 300 },
  KEYS: {
    SESSION: 'session:', USER_STATUS: 'user:status:', USER_ONLINE: 'user:online:', CHAT_LIST: 'chat:list:', CHAT_UNREAD: 'chat:unread:',
    MESSAGE: 'message:', CONTACT_LIST: 'contact:list:', TYPING: 'typing:', PRESENCE: 'presence:', RATE_LIMIT: 'ratelimit:',
  },
  CHANNELS: {
    MESSAGE_NEW: 'message:new', MESSAGE_EDIT: 'message:edit', MESSAGE_DELETE: 'message:delete', MESSAGE_REACTION: 'message:reaction',
    USER_STATUS: 'user:status', TYPING_START: 'typing:start', TYPING_STOP: 'typing:stop', READ_RECEIPT: 'read:receipt', CHAT_UPDATE: 'chat:update',
  },
  STREAMS: { MESSAGE_DELIVERY: 'message-delivery-stream' },
};

const options = { url: process.env.REDIS_URL, socket: { connectTimeout: 5000, reconnectStrategy: (n) => Math.min(100 * 2 ** n, 3000) } };
export const redisClient = createClient(options);
export const redisPubClient = createClient(options);
export const redisSubClient = createClient(options);
const clients = [redisClient, redisPubClient, redisSubClient];
for (const client of clients) client.on('error', () => {});

export const connectRedis = () => Promise.all(clients.map((c) => c.connect()));
export const closeRedis = () => Promise.all(clients.map((c) => c.close()));
export const checkRedisHealth = async () => (await redisClient.ping()) === 'PONG';

async function or(fallback, call) {
  try {
    return await call();
  } catch {
    return fallback;
  }
}

export const cacheHelpers = {
  get: (key) => or(null, async () => {
    const value = await redisClient.get(key);
    return value === null ? null : JSON.parse(value);
  }),
  set: (key, value, ttl) => or(undefined, () => redisClient.set(key, JSON.stringify(value), { expiration: { type: 'EX', value: ttl } })),
  setPermanent: (key, value) => or(undefined, () => redisClient.set(key, JSON.stringify(value))),
  async getOrSet(key, ttl, load) {
    const cached = await this.get(key);
    if (cached !== null) return cached;
    const value = await load();
    await this.set(key, value, ttl);
    return value;
  },
  del: (key) => or(undefined, () => redisClient.del(key)),
  delPattern: (pattern) => or(undefined, async () => {
    for await (const keys of redisClient.scanIterator({ MATCH: pattern, COUNT: 100 })) {
      if (keys.length > 0) await redisClient.del(keys);
    }
  }),
  incr: (key) => or(0, () => redisClient.incr(key)),
  incrWithExpiry: (key, ttl) => or(0, async () => {
    const n = await redisClient.incr(key);
    if (n === 1) await redisClient.expire(key, ttl);
    return n;
  }),
  sadd: (key, ...members) => or(0, () => redisClient.sAdd(key, members)),
  srem: (key, ...members) => or(0, () => redisClient.sRem(key, members)),
  smembers: (key) => or([], () => redisClient.sMembers(key)),
  sismember: (key, member) => or(false, async () => Boolean(await redisClient.sIsMember(key, member))),
};

export const pubSubHelpers = {
  publish: (channel, message) => or(0, () => redisPubClient.publish(channel, JSON.stringify(message))),
  subscribe: (channel, callback) => redisSubClient.subscribe(channel, (message) => callback(JSON.parse(message))),
  unsubscribe: (channel) => redisSubClient.unsubscribe(channel),
};
