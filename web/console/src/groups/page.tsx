import { useSignal } from "@preact/signals";
import { agoText, countText, durationText, plural } from "../format";
import { go, hashOf, route } from "../router";
import { call } from "../session";
import { client } from "../session";
import { Badge, Button, Confirm, Empty, ErrorNote, Loading, PageHead, codeOf, usePolling, useTask } from "../ui";
import { Chart, Spark } from "./chart";
import { DeadLetters } from "./dead_letters";
import { groups, groupsError, sample, sampleMs, series, type Group } from "./samples";

const builtin = "chatcore.builtin";
const admin = "chatcore.admin.v1.GroupService";

/** kindOf says what runs the handlers of a group. */
function kindOf(group: Group): string {
  switch (group.definition?.kind as unknown) {
    case "pull":
    case 1:
      return "pull";
    case "webhook":
    case 2:
      return "webhook";
  }
  return group.name === builtin ? "built in" : "handlers in Go";
}

function StateBadge({ group }: { group: Group }) {
  if (group.definition?.paused) {
    return <Badge tone="warn">paused</Badge>;
  }
  if (group.parkedChats > 0) {
    return <Badge tone="bad">{plural(group.parkedChats, "parked chat")}</Badge>;
  }
  if (group.members === 0) {
    return <Badge tone={group.lag > 0 ? "bad" : "neutral"}>nobody runs it</Badge>;
  }
  return group.lag > 0 && (group.lagAge ?? 0) > 10_000 ? <Badge tone="warn">behind</Badge> : <Badge tone="good">running</Badge>;
}

/** GroupsPage is the state of consumer groups. */
export function GroupsPage() {
  usePolling(sample, sampleMs);
  const list = groups.value;
  const name = route.value[1] || list?.[0]?.name;
  const chosen = list?.find((group) => group.name === name);
  return (
    <div class="groups">
      <PageHead title="Consumer groups" text="A group receives every durable event at least once, each chat in order. What it has not finished is its lag." />
      {groupsError.value !== undefined && (
        <>
          <ErrorNote error={groupsError.value} onRetry={() => void sample()} />
          {codeOf(groupsError.value) === "permission_denied" && <p class="muted">Groups and dead letters are for services with the scope admin.</p>}
        </>
      )}
      {list === undefined && groupsError.value === undefined && <Loading what="groups" />}
      {list?.length === 0 && (
        <Empty icon="groups" title="There is no group yet">
          A program makes one with <code>core.Subscribe("push", …)</code>, <code>core groups create push</code> or a webhook.
        </Empty>
      )}
      {list !== undefined && list.length > 0 && (
        <>
          <div class="card table-card" tabIndex={0} role="region" aria-label="Groups">
            <table class="table">
              <thead>
                <tr>
                  <th>Group</th>
                  <th>State</th>
                  <th class="wide">Kind</th>
                  <th class="number">Lag</th>
                  <th class="wide">Last 80 s</th>
                  <th class="number wide">Oldest</th>
                  <th class="number">Dead letters</th>
                  <th class="number wide">Members</th>
                </tr>
              </thead>
              <tbody>
                {list.map((group) => (
                  <tr key={group.name} class={group.name === name ? "chosen" : ""} onClick={() => go(["groups", group.name])}>
                    <td>
                      <a href={hashOf("groups", group.name)} aria-current={group.name === name ? "true" : undefined}>
                        {group.name}
                      </a>
                    </td>
                    <td>
                      <StateBadge group={group} />
                    </td>
                    <td class="wide muted">{kindOf(group)}</td>
                    <td class="number">{countText(group.lag)}</td>
                    <td class="wide spark-cell">
                      <Spark series={series.value.get(group.name)} />
                    </td>
                    <td class="number wide">{group.lagAge ? durationText(group.lagAge) : "–"}</td>
                    <td class="number">{group.deadLetters > 0 ? <Badge tone="bad">{countText(group.deadLetters)}</Badge> : "0"}</td>
                    <td class="number wide">{group.members}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
          {chosen ? <GroupView key={chosen.name} group={chosen} /> : <Empty icon="groups" title={`There is no group ${name}`}>Choose one above. It may have been deleted.</Empty>}
        </>
      )}
    </div>
  );
}

function GroupView({ group }: { group: Group }) {
  const asking = useSignal<"rebuild" | "delete" | "">("");
  const task = useTask();
  const paused = group.definition?.paused ?? false;
  const samples = series.value.get(group.name);
  return (
    <section class="group-view" aria-label={`Group ${group.name}`}>
      <header class="section-head">
        <h2>{group.name}</h2>
        <StateBadge group={group} />
        <span class="spacer" />
        {group.definition && (
          <Button
            small
            icon={paused ? "play" : "pause"}
            disabled={task.busy.value}
            onClick={() => task.run(() => call(`${admin}/${paused ? "Resume" : "Pause"}Group`, { group: group.name }).then(() => sample()))}
          >
            {paused ? "Resume" : "Pause"}
          </Button>
        )}
        <Button small icon="rebuild" onClick={() => (asking.value = "rebuild")}>
          Rebuild
        </Button>
        <Button small icon="trash" onClick={() => (asking.value = "delete")}>
          Delete
        </Button>
      </header>
      {group.definition?.pauseReason && (
        <div class="note note-warn">
          <p>Paused: {group.definition.pauseReason}</p>
        </div>
      )}
      {task.error.value !== undefined && <ErrorNote error={task.error.value} onClose={() => (task.error.value = undefined)} />}
      <div class="card chart-card">{samples && <Chart series={samples} label={`Group ${group.name}`} />}</div>
      <DeadLetters group={group} />
      <Partitions group={group} />
      {asking.value === "rebuild" && (
        <Confirm
          title={`Rebuild ${group.name}?`}
          text="It begins again with the first event of every chat: its handlers receive all of them once more. Its dead letters go."
          action="Rebuild"
          onClose={() => (asking.value = "")}
          onConfirm={() => client.admin.groups.rebuild({ group: group.name }).then(() => sample())}
        />
      )}
      {asking.value === "delete" && (
        <Confirm
          title={`Delete ${group.name}?`}
          text={
            <>
              Its dead letters go, and what it has not finished is never delivered to it.
              {group.members > 0 && " A process runs it: that one stops delivering."}
            </>
          }
          action="Delete"
          onClose={() => (asking.value = "")}
          onConfirm={() => client.admin.groups.delete({ group: group.name }).then(() => (go(["groups"]), sample()))}
        />
      )}
    </section>
  );
}

function Partitions({ group }: { group: Group }) {
  return (
    <div class="card table-card" tabIndex={0} role="region" aria-label="Partitions">
      <table class="table">
        <caption>{plural(group.partitions.length, "partition")}</caption>
        <thead>
          <tr>
            <th>Partition</th>
            <th>Owner</th>
            <th class="number">Epoch</th>
            <th class="number">Lag</th>
            <th class="number wide">Finished</th>
            <th class="number wide">Catching up</th>
            <th class="number wide">Failing</th>
            <th class="number">Parked</th>
            <th class="wide">Lease until</th>
          </tr>
        </thead>
        <tbody>
          {group.partitions.map((partition) => (
            <tr key={partition.stream}>
              <td>
                {partition.number < 0 ? "other programs" : partition.number}
                {partition.scanning && <Badge tone="accent">checking {countText(partition.scannedChats)} of {countText(partition.scanChats)}</Badge>}
              </td>
              <td class="mono owner" title={partition.owner}>
                {partition.owner || <span class="muted">nobody</span>}
              </td>
              <td class="number">{partition.epoch}</td>
              <td class="number">{countText(partition.lag)}</td>
              <td class="number wide">{countText(partition.passed)}</td>
              <td class="number wide">{partition.behindChats}</td>
              <td class="number wide">{partition.failingChats > 0 ? <Badge tone="warn">{partition.failingChats}</Badge> : 0}</td>
              <td class="number">{partition.parkedChats > 0 ? <Badge tone="bad">{partition.parkedChats}</Badge> : 0}</td>
              <td class="wide muted">{partition.leaseUntil ? (partition.leaseUntil.getTime() > Date.now() ? `in ${durationText(partition.leaseUntil.getTime() - Date.now())}` : agoText(partition.leaseUntil)) : "–"}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
