import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { Message } from "@chatcore/client";
import { fullText } from "../format";
import { Button, Dialog, Empty, ErrorNote, Loading, useTask } from "../ui";
import type { PaneModel } from "./pane_model";

const muteMs = 8 * 3_600_000;

/** ChatSettings shows and changes the user's own settings for the open chat. */
export function ChatSettings({ model, onClose }: { model: PaneModel; onClose: () => void }) {
  const task = useTask();
  const blocked = useSignal<boolean | undefined>(undefined);
  const chat = model.chat.value;
  const direct = model.isDirect.value;
  useEffect(() => {
    if (direct) {
      task.run(async () => (blocked.value = await model.blocks()));
    }
  }, []);
  if (!chat) {
    return null;
  }
  const muted = chat.mutedUntil !== undefined && chat.mutedUntil.getTime() > Date.now();
  const row = (label: string, hint: string, on: boolean, toggle: () => Promise<unknown>) => (
    <label class="choice">
      <input type="checkbox" checked={on} disabled={task.busy.value} onChange={() => task.run(toggle)} />
      <span>
        <b>{label}</b> <small>{hint}</small>
      </span>
    </label>
  );
  return (
    <Dialog title="Settings of the chat" onClose={onClose}>
      <div class="choices">
        {row("Favourite", "", chat.favourite, () => model.configure({ favourite: !chat.favourite }))}
        {row("Muted", muted ? `until ${fullText(chat.mutedUntil!)}` : "for eight hours", muted, () => model.configure({ mutedUntil: new Date(muted ? 0 : Date.now() + muteMs) }))}
        {row("Hidden", "until the next message", chat.hidden, async () => {
          await model.configure({ hidden: chat.hidden ? "shown" : "until_message" });
          onClose();
        })}
        {direct &&
          blocked.value !== undefined &&
          row("Blocked", "neither of you can write", blocked.value, async () => {
            await model.block(blocked.value!);
            blocked.value = !blocked.value;
          })}
      </div>
      {task.error.value !== undefined && <ErrorNote error={task.error.value} />}
    </Dialog>
  );
}

/** Pins shows the pinned messages of the open chat. */
export function Pins({ model, onClose }: { model: PaneModel; onClose: () => void }) {
  const pins = useSignal<Message[] | undefined>(undefined);
  const task = useTask();
  const load = () => task.run(async () => (pins.value = await model.pins()));
  useEffect(load, []);
  return (
    <Dialog title="Pinned messages" onClose={onClose}>
      {pins.value === undefined && task.error.value === undefined && <Loading what="pins" />}
      {pins.value?.length === 0 && (
        <Empty icon="pin" title="No message is pinned">
          Pin one with its actions.
        </Empty>
      )}
      <ul class="member-list">
        {pins.value?.map((message) => (
          <li key={message.id}>
            <span>
              <b>{message.content}</b>
              <small>
                by {message.senderId}, pinned by {message.pinnedBy}
              </small>
            </span>
          </li>
        ))}
      </ul>
      {task.error.value !== undefined && <ErrorNote error={task.error.value} onRetry={load} />}
      <footer>
        <Button onClick={onClose}>Close</Button>
      </footer>
    </Dialog>
  );
}
