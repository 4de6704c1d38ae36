import { useSignal } from "@preact/signals";
import { plural } from "../format";
import { Avatar, Badge, Button, Dialog, ErrorNote, Field, useTask } from "../ui";
import { users } from "../users";
import type { PaneModel } from "./pane_model";

/** idOf makes an id of a title. */
const idOf = (title: string): string =>
  title
    .toLowerCase()
    .normalize("NFKD")
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-+|-+$/g, "")
    .slice(0, 60);

export function CreateChat({ model, onClose }: { model: PaneModel; onClose: () => void }) {
  const title = useSignal("");
  const id = useSignal<string | undefined>(undefined);
  const chosen = useSignal<readonly string[]>([]);
  const task = useTask();
  const others = users.value.filter((user) => user !== model.user.value);
  const chatId = id.value ?? idOf(title.value);
  return (
    <Dialog title="Create a chat" onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          task.run(() => model.create(chatId, title.value.trim(), [...chosen.value]), onClose);
        }}
      >
        <Field label="Title">
          <input required maxLength={120} value={title.value} onInput={(event) => (title.value = event.currentTarget.value)} />
        </Field>
        <Field label="Id" hint="It names the chat in all calls, and stays.">
          <input required maxLength={128} value={chatId} onInput={(event) => (id.value = event.currentTarget.value)} />
        </Field>
        {others.length > 0 && (
          <fieldset class="choices">
            <legend>Members</legend>
            {others.map((user) => (
              <label key={user} class="choice">
                <input
                  type="checkbox"
                  checked={chosen.value.includes(user)}
                  onChange={(event) => (chosen.value = event.currentTarget.checked ? [...chosen.value, user] : chosen.value.filter((other) => other !== user))}
                />
                <Avatar id={user} size="s" />
                {user}
              </label>
            ))}
          </fieldset>
        )}
        {task.error.value !== undefined && <ErrorNote error={task.error.value} />}
        <footer>
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" kind="primary" disabled={task.busy.value || chatId === ""}>
            Create
          </Button>
        </footer>
      </form>
    </Dialog>
  );
}

/** Members shows the members of the open chat, and adds and removes them. */
export function Members({ model, onClose }: { model: PaneModel; onClose: () => void }) {
  const name = useSignal("");
  const task = useTask();
  const members = model.members.value;
  const known = users.value.filter((user) => !members.some(({ userId }) => userId === user));
  return (
    <Dialog title={plural(members.length, "member")} onClose={onClose}>
      <ul class="member-list">
        {members.map(({ userId, role }) => (
          <li key={userId}>
            <Avatar id={userId} status={model.statuses.value.get(userId)} />
            <span>
              <b>{userId}</b>
              <small>{model.statuses.value.get(userId) ?? "offline"}</small>
            </span>
            <Badge tone={role === "owner" ? "accent" : "neutral"}>{role}</Badge>
            {userId !== model.user.value && (
              <Button small kind="quiet" icon="trash" label={`Remove ${userId}`} disabled={task.busy.value} onClick={() => task.run(() => model.removeMember(userId))} />
            )}
          </li>
        ))}
      </ul>
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
      {task.error.value !== undefined && <ErrorNote error={task.error.value} />}
    </Dialog>
  );
}
