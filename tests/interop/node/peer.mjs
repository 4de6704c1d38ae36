// A service that runs operations, one for each line of JSON: it reads {id, op, args} from standard input and writes {id, result} or {id, error}
// to standard output. It also writes each message of a channel, as {channel, message}.
import { createInterface } from 'node:readline';
import { REDIS_CONFIG, cacheHelpers, checkRedisHealth, closeRedis, connectRedis, pubSubHelpers, redisClient } from './redis.mjs';
import { rooms } from './socketio.mjs';

const say = (line) => process.stdout.write(JSON.stringify(line) + '\n');

const operations = {
  ...Object.fromEntries(Object.keys(cacheHelpers).filter((name) => name !== 'getOrSet').map((name) => [name, (...args) => cacheHelpers[name](...args)])),
  // The loader returns the argument loaded. The result has whether it was called.
  async getOrSet(key, ttl, loaded) {
    let asked = false;
    const value = await cacheHelpers.getOrSet(key, ttl, async () => {
      asked = true;
      return loaded;
    });
    return { value, asked };
  },
  config: async () => REDIS_CONFIG,
  health: checkRedisHealth,
  publish: pubSubHelpers.publish,
  subscribe: (channel) => pubSubHelpers.subscribe(channel, (message) => say({ channel, message })),
  unsubscribe: pubSubHelpers.unsubscribe,
  raw: (key) => redisClient.get(key),
  ttl: (key) => redisClient.ttl(key),
  hgetall: async (key) => ({ ...(await redisClient.hGetAll(key)) }),
  // A delivery worker of the guide adds to the stream.
  xadd: (fields) => redisClient.xAdd(REDIS_CONFIG.STREAMS.MESSAGE_DELIVERY, '*', fields),
  rooms,
};

await connectRedis();
say({ ready: true });
for await (const line of createInterface({ input: process.stdin })) {
  const { id, op, args } = JSON.parse(line);
  Promise.resolve()
    .then(() => operations[op](...args))
    .then((result) => say({ id, result: result ?? null }), (error) => say({ id, error: String(error?.stack ?? error) }));
}
await closeRedis();
