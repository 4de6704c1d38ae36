import { DeadLetterService } from "./gen/chatcore/admin/v1/dead_letter_pb.js";
import { GroupService } from "./gen/chatcore/admin/v1/group_pb.js";
import { HealthService } from "./gen/chatcore/admin/v1/health_pb.js";
import { Service } from "./service.js";

const group = GroupService.method;
const deadLetter = DeadLetterService.method;

/** Groups administers consumer groups. */
export class Groups extends Service {
  /** Returns the state of every consumer group, with its lag. */
  readonly list = this.part(group.listGroups, "groups");
  /** Has a group begin again with the first event of every chat. Its dead letters go. Not retried. */
  readonly rebuild = this.once(group.rebuildGroup, "group");
  /** Removes a group with its dead letters. Not retried. */
  readonly delete = this.once(group.deleteGroup, "group");
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

/** Health returns the health of the server that answers, and of its Redis. */
export class Health extends Service {
  /** Returns the state of the server and of its Redis servers. */
  readonly get = this.repeatable(HealthService.method.getHealth);
  /** Returns what is dangerous or noteworthy, the worst first, each with a remedy. */
  readonly listFindings = this.part(HealthService.method.listFindings, "findings");
}
