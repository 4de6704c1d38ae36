import { useSignal } from "@preact/signals";
import { Avatar, Button, Dialog, ErrorNote, Field, useTask } from "../ui";
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
