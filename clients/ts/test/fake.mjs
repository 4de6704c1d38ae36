// A server in the process: handlers by method name, behind the transport of a client.
import { createRouterTransport } from "@connectrpc/connect";
import { createClient } from "../dist/index.js";
import { ChatService } from "../dist/gen/chatcore/v1/chat_pb.js";
import { FeedService } from "../dist/gen/chatcore/v1/feed_pb.js";
import { LimitService } from "../dist/gen/chatcore/v1/limit_pb.js";
import { LogService } from "../dist/gen/chatcore/v1/log_pb.js";
import { MessageService } from "../dist/gen/chatcore/v1/message_pb.js";
import { PresenceService } from "../dist/gen/chatcore/v1/presence_pb.js";
import { SessionService } from "../dist/gen/chatcore/v1/session_pb.js";
import { DeadLetterService } from "../dist/gen/chatcore/admin/v1/dead_letter_pb.js";
import { ErasureService } from "../dist/gen/chatcore/admin/v1/erasure_pb.js";
import { GroupService } from "../dist/gen/chatcore/admin/v1/group_pb.js";
import { RetentionService } from "../dist/gen/chatcore/admin/v1/retention_pb.js";
import { WebhookService } from "../dist/gen/chatcore/admin/v1/webhook_pb.js";
import { ConsumerService } from "../dist/gen/chatcore/consumer/v1/consumer_pb.js";
import { HealthService } from "../dist/gen/chatcore/admin/v1/health_pb.js";

export const services = [
  ChatService, MessageService, LogService, PresenceService, SessionService, LimitService, FeedService, GroupService, DeadLetterService,
  HealthService, WebhookService, RetentionService, ErasureService, ConsumerService,
];

/** fake returns a client whose calls the handlers answer, and the list of calls: method, request and headers. */
export function fake(handlers = {}, options = {}) {
  const calls = [];
  const transport = createRouterTransport((router) => {
    for (const service of services) {
      for (const method of service.methods) {
        router.rpc(method, method.methodKind === "unary" ? (request, context) => answer(method, request, context) : (request) => stream(method, request));
      }
    }
  });
  async function answer(method, request, context) {
    calls.push({ method: method.localName, request, header: context.requestHeader, timeoutMs: context.timeoutMs?.() });
    return (await handlers[method.localName]?.(request, calls.length, context)) ?? {};
  }
  async function* stream(method, request) {
    calls.push({ method: method.localName, request });
    yield* handlers[method.localName]?.(request) ?? [];
  }
  return { client: createClient({ url: "http://unused", transport, ...options }), calls };
}
