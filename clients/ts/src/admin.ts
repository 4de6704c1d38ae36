import { DeadLetterService } from "./gen/chatcore/admin/v1/dead_letter_pb.js";
import { ErasureService } from "./gen/chatcore/admin/v1/erasure_pb.js";
import { GroupService } from "./gen/chatcore/admin/v1/group_pb.js";
import { HealthService } from "./gen/chatcore/admin/v1/health_pb.js";
import { RetentionService } from "./gen/chatcore/admin/v1/retention_pb.js";
import { WebhookService } from "./gen/chatcore/admin/v1/webhook_pb.js";
import { Service } from "./service.js";

const group = GroupService.method;
const deadLetter = DeadLetterService.method;
const webhook = WebhookService.method;
const retention = RetentionService.method;
const erasure = ErasureService.method;

/** Groups administers consumer groups. */
export class Groups extends Service {
  /** Returns the state of every consumer group, with its lag. */
  readonly list = this.part(group.listGroups, "groups");
  /** Has a group begin again with the first event of every chat. Its dead letters go. Not retried. */
  readonly rebuild = this.once(group.rebuildGroup, "group");
  /** Removes a group with its dead letters. Not retried. */
  readonly delete = this.once(group.deleteGroup, "group");
  /** Defines a pull group, for consumers. Events that are appended after the response reach it. A group with the same definition is returned as it is. */
  readonly create = this.repeatable(group.createGroup, "group");
  /** Changes the settings of a defined group, all of them. A definition that has these settings already is returned as it is, whatever its version. */
  readonly update = this.repeatable(group.updateGroup, "group", "settings");
  /** Has a defined group deliver nothing until it is resumed. Returns what is defined now. */
  readonly pause = this.part(group.pauseGroup, "definition", "group");
  /** Ends a pause. Returns what is defined now. */
  readonly resume = this.part(group.resumeGroup, "definition", "group");
}

/** Webhooks administers webhooks: groups that send each event to an HTTP endpoint. */
export class Webhooks extends Service {
  /** Defines a webhook and returns it with its secret, which no other call returns. A repeated call returns the same secret for 10 minutes. */
  readonly create = this.repeatable(webhook.createWebhook, "name", "url");
  /** Returns a webhook. */
  readonly get = this.part(webhook.getWebhook, "webhook", "name");
  /** Returns all webhooks, sorted by name. */
  readonly list = this.part(webhook.listWebhooks, "webhooks");
  /** Changes a webhook. */
  readonly update = this.part(webhook.updateWebhook, "webhook", "name");
  /** Sends an event of type webhook:test to the endpoint, once, and returns what came of it. */
  readonly test = this.part(webhook.testWebhook, "attempt", "name");
  /** Makes a new secret and returns it with the webhook. The present one signs beside it for a time. */
  readonly rotateSecret = this.repeatable(webhook.rotateWebhookSecret, "name");
  /** Has a webhook send nothing until it is resumed. */
  readonly pause = this.part(webhook.pauseWebhook, "webhook", "name");
  /** Ends a pause, also one because the endpoint answered 410. */
  readonly resume = this.part(webhook.resumeWebhook, "webhook", "name");
  /** Removes a webhook with its group, its dead letters and its attempts. Not retried. */
  readonly delete = this.once(webhook.deleteWebhook, "name");
  /** Returns the last attempts, the latest first. */
  readonly listAttempts = this.part(webhook.listWebhookAttempts, "attempts", "name");
}

/** DeadLetters administers the dead letters of consumer groups. */
export class DeadLetters extends Service {
  /** Lists a group's dead letters, partition by partition, each in the order in which they were added. */
  readonly list = this.pages(deadLetter.listDeadLetters, "deadLetters", "group");
  /** Returns one dead letter. */
  readonly get = this.part(deadLetter.getDeadLetter, "deadLetter", "group", "id");
  /** Has a dead letter given to a handler again. Not retried. */
  readonly retry = this.once(deadLetter.retryDeadLetter, "group", "id");
  /** Removes a dead letter. Not retried. */
  readonly drop = this.once(deadLetter.dropDeadLetter, "group", "id");
}

/** Retention sets the rules by which messages are erased, and the legal holds that stop every erasure. */
export class Retention extends Service {
  /** Returns the policy of the log, and those of chats. */
  readonly list = this.part(retention.listRetention, "policies");
  /** Sets the policy of a chat. If it is stricter, it applies after 24 h. */
  readonly set = this.part(retention.setRetention, "policy", "chatId", "keeps", "actorId");
  /** Removes the policy of a chat: that of the log applies. */
  readonly clear = this.repeatable(retention.clearRetention, "chatId", "actorId");
  /** Sets a legal hold on a chat, on the messages of a user or, without either, on the log. */
  readonly addHold = this.repeatable(retention.addHold, "id", "reason", "actorId");
  /** Removes a legal hold. Not retried. */
  readonly removeHold = this.once(retention.removeHold, "id");
  /** Returns all legal holds. */
  readonly listHolds = this.part(retention.listHolds, "holds");
}

/** Erasures removes the content of messages of any sender. */
export class Erasures extends Service {
  /** Erases a message with all of its edits. */
  readonly erase = this.repeatable(erasure.erase, "chatId", "messageId", "actorId");
  /** Erases messages of a user, in all chats. Call it again until done is set. */
  readonly eraseUser = this.repeatable(erasure.eraseUser, "userId", "actorId");
  /** Examines every place where the content of a message may be. */
  readonly verify = this.part(erasure.verifyErasure, "places", "chatId", "messageId");
}

/** Health returns the health of the server that answers, and of its Redis. */
export class Health extends Service {
  /** Returns the state of the server and of its Redis servers. */
  readonly get = this.repeatable(HealthService.method.getHealth);
  /** Returns what is dangerous or noteworthy, the worst first, each with a remedy. */
  readonly listFindings = this.part(HealthService.method.listFindings, "findings");
}
