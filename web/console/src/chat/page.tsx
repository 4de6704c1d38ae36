import { effect, useSignal } from "@preact/signals";
import { useEffect, useMemo } from "preact/hooks";
import { recall, remember } from "../remember";
import { isService, session } from "../session";
import { Avatar, Empty, ErrorNote, Loading, useTask } from "../ui";
import { loadUsers, users, usersLoaded } from "../users";
import { Pane } from "./pane";
import { PaneModel } from "./pane_model";

const sides = ["left", "right"] as const;
const defaults = ["ada", "ben"];

/** firstUser returns the user that a pane begins with: of a log without chats one that may begin, in local mode. */
function firstUser(i: number, taken: readonly string[]): string {
  const known = users.value;
  if (known.includes(defaults[i]!) || (known.length === 0 && session.value!.local)) {
    return defaults[i]!;
  }
  return known.find((id) => !taken.includes(id)) ?? "";
}

/** usePane returns the client of one pane, which lives as long as the page. */
function usePane(i: number): PaneModel {
  const side = sides[i]!;
  const model = useMemo(() => new PaneModel(side), []);
  useEffect(() => {
    const kept = effect(() => {
      if (model.user.value !== "") {
        remember(`${side}.user`, model.user.value);
        if (model.chatId.value !== "") {
          remember(`${side}.chat`, model.chatId.value);
        }
      }
    });
    const leave = () => model.stop();
    addEventListener("pagehide", leave);
    return () => {
      removeEventListener("pagehide", leave);
      kept();
      model.stop();
    };
  }, []);
  return model;
}

/** ChatPage is two users side by side, each the client of a user; for a user that is signed in, that user alone. */
export function ChatPage() {
  const left = usePane(0);
  const right = usePane(1);
  const both = isService.value;
  const shown = useSignal(0); // on a phone
  const task = useTask();
  const find = () => task.run(loadUsers);
  const ready = usersLoaded.value;

  useEffect(find, []);
  useEffect(() => {
    if (!ready) {
      return;
    }
    if (!both) {
      left.start(session.value!.id, recall("left.chat", ""));
      return;
    }
    const taken: string[] = [];
    [left, right].forEach((model, i) => {
      const user = recall(`${sides[i]!}.user`, firstUser(i, taken));
      taken.push(user);
      model.start(user, recall(`${sides[i]!}.chat`, ""));
    });
  }, [ready]);

  if (!ready) {
    return task.error.value === undefined ? <Loading what="the chats" /> : <ErrorNote error={task.error.value} onRetry={find} />;
  }
  if (task.error.value !== undefined && users.value.length === 0) {
    return (
      <div class="chat-problem">
        <ErrorNote error={task.error.value} onRetry={find} />
        {!both || <p class="muted">To chat as users, a service needs the scopes chats:read, chats:write and presence.</p>}
      </div>
    );
  }
  const models = both ? [left, right] : [left];
  return (
    <div class={both ? "chat-page" : "chat-page chat-page-one"}>
      <h1 class="hidden">Chat</h1>
      {both && (
        <div class="pane-switch" role="group" aria-label="Shown user">
          {models.map((model, i) => (
            <button key={i} type="button" aria-pressed={shown.value === i} onClick={() => (shown.value = i)}>
              <Avatar id={model.user.value || "?"} size="s" />
              <span>{model.user.value || "nobody"}</span>
              {model.unread.value > 0 && shown.value !== i && <b class="count">{model.unread.value}</b>}
            </button>
          ))}
        </div>
      )}
      <div class="panes">
        {models.map((model, i) => (
          <Pane key={i} model={model} name={both ? sides[i]! : "only"} shown={shown.value === i} />
        ))}
      </div>
    </div>
  );
}

export function NoUser() {
  return (
    <Empty icon="sessions" title="Nobody is chosen">
      Choose a user above. An id that no chat has yet is a new user.
    </Empty>
  );
}
