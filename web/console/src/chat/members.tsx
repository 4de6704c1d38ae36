import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { Member } from "@chatcore/client";
import { fullText, plural } from "../format";
import { Avatar, Badge, Button, Dialog, ErrorNote, Field, useTask } from "../ui";
import { users } from "../users";
import type { PaneModel } from "./pane_model";

const hourMs = 3_600_000;
type Task = ReturnType<typeof useTask>;

/** Members shows the members of the open chat, adds and removes them, and restricts users. */
export function Members({ model, onClose }: { model: PaneModel; onClose: () => void }) {
  const name = useSignal("");
  const task = useTask();
  const members = model.members.value;
  const known = users.value.filter((user) => !members.some(({ userId }) => userId === user));
  const banned = model.restrictions.value.filter(({ restriction }) => restriction === "ban");
  useEffect(() => task.run(() => model.loadRestrictions()), []);
  return (
    <Dialog title={plural(members.length, "member")} onClose={onClose}>
      <ul class="member-list">
        {members.map((member) => (
          <MemberRow key={member.userId} model={model} member={member} task={task} onClose={onClose} />
        ))}
        {banned.map(({ userId, until, reason }) => (
          <li key={`ban ${userId}`}>
            <Avatar id={userId} />
            <span>
              <b>{userId}</b>
              <small>{[until ? `until ${fullText(until)}` : "no member", reason].filter(Boolean).join(", ")}</small>
            </span>
            <Badge tone="bad">banned</Badge>
            {model.moderates.value && (
              <Button small disabled={task.busy.value} aria-label={`Lift the ban of ${userId}`} onClick={() => task.run(() => model.restrict(userId, "ban", { lift: true }))}>
                Lift
              </Button>
            )}
          </li>
        ))}
      </ul>
      {!model.isDirect.value && (
        <form
          class="inline-form"
          onSubmit={(event) => {
            event.preventDefault();
            task.run(
              () => model.addMember(name.value.trim()),
              () => (name.value = ""),
            );
          }}
        >
          <Field label="Add a member">
            <input required maxLength={128} list={`users-${model.user.value}`} placeholder="Id of a user" value={name.value} onInput={(event) => (name.value = event.currentTarget.value)} />
          </Field>
          <datalist id={`users-${model.user.value}`}>
            {known.map((user) => (
              <option key={user} value={user} />
            ))}
          </datalist>
          <Button type="submit" kind="primary" disabled={task.busy.value || name.value.trim() === ""}>
            Add
          </Button>
        </form>
      )}
      {task.error.value !== undefined && <ErrorNote error={task.error.value} />}
    </Dialog>
  );
}

/** MemberRow is a member with the actions on it. */
function MemberRow({ model, member, task, onClose }: { model: PaneModel; member: Member; task: Task; onClose: () => void }) {
  const { userId, role } = member;
  const status = model.statuses.value.get(userId) ?? "offline";
  const muted = model.restrictions.value.find((r) => r.userId === userId && r.restriction === "mute");
  const other = userId !== model.user.value;
  const restricts = other && model.moderates.value && role === "member";
  return (
    <li>
      <Avatar id={userId} status={status} />
      <span>
        <b>{userId}</b>
        <small>{muted ? `muted${muted.until ? ` until ${fullText(muted.until)}` : ""}` : status}</small>
      </span>
      <Badge tone={role === "owner" ? "accent" : "neutral"}>{role}</Badge>
      {other && !model.isDirect.value && (
        <Button small kind="quiet" icon="chat" label={`Message ${userId} directly`} disabled={task.busy.value} onClick={() => task.run(() => model.openDirect(userId), onClose)} />
      )}
      {restricts && (
        <Button
          small
          kind="quiet"
          icon={muted ? "play" : "pause"}
          label={muted ? `Lift the mute of ${userId}` : `Mute ${userId} for an hour`}
          disabled={task.busy.value}
          onClick={() => task.run(() => model.restrict(userId, "mute", muted ? { lift: true } : { until: new Date(Date.now() + hourMs) }))}
        />
      )}
      {restricts && <Button small kind="quiet" icon="warn" label={`Ban ${userId}`} disabled={task.busy.value} onClick={() => task.run(() => model.restrict(userId, "ban", {}))} />}
      {other && !model.isDirect.value && (
        <Button small kind="quiet" icon="trash" label={`Remove ${userId}`} disabled={task.busy.value} onClick={() => task.run(() => model.removeMember(userId))} />
      )}
    </li>
  );
}
