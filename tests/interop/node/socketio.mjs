// Two Socket.IO servers with the Redis adapter, as two instances of a backend, and a client of each.
import { createServer } from 'node:http';
import { once } from 'node:events';
import { createAdapter } from '@socket.io/redis-adapter';
import { Server } from 'socket.io';
import { io } from 'socket.io-client';
import { redisPubClient, redisSubClient } from './redis.mjs';

async function instance() {
  const [pub, sub] = [redisPubClient.duplicate(), redisSubClient.duplicate()];
  for (const client of [pub, sub]) client.on('error', () => {});
  await Promise.all([pub.connect(), sub.connect()]);
  const http = createServer();
  const server = new Server(http, { adapter: createAdapter(pub, sub) });
  server.on('connection', (socket) => socket.join('garden'));
  await new Promise((listening) => http.listen(0, '127.0.0.1', listening));
  const joined = once(server, 'connection');
  const client = io(`http://127.0.0.1:${http.address().port}`, { transports: ['websocket'] });
  await Promise.all([once(client, 'connect'), joined]);
  return {
    server,
    client,
    async close() {
      client.close();
      await server.close();
      await Promise.all([pub.close(), sub.close()]);
    },
  };
}

// rooms makes each instance send n messages to a room with the clients of both. It returns the messages that each client heard, by sender.
export async function rooms(n) {
  const instances = [await instance(), await instance()];
  // The adapters learn of each other's subscriptions a moment later.
  while ((await instances[0].server.of('/').adapter.serverCount()) < 2 || (await instances[0].server.in('garden').fetchSockets()).length < 2);
  const heard = instances.map(() => [[], []]);
  const all = Promise.all(instances.map(({ client }, at) => new Promise((resolve) => {
    client.on('message', (from, i) => {
      heard[at][from].push(i);
      if (heard[at][0].length + heard[at][1].length === 2 * n) resolve();
    });
  })));
  for (let i = 0; i < n; i++) instances.forEach(({ server }, from) => server.to('garden').emit('message', from, i));
  await all;
  for (const one of instances) await one.close();
  return heard;
}
