import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { Status } from "@chatcore/client";
import { whenText } from "../format";
import { Icon } from "../icons";
import { isService } from "../session";
import { Avatar, Button, Dialog, Empty, ErrorNote, Field, Loading } from "../ui";
import { know, users } from "../users";
import { Conversation } from "./conversation";
import { CreateChat } from "./create";
import { nameOf, previewText } from "./fold";
import { NoUser } from "./page";
import type { PaneModel } from "./pane_model";

const states = { connecting: "connecting", live: "live", waiting: "reconnecting", closed: "closed" } as const;
const statuses: Exclude<Status, "unspecified">[] = ["online", "away", "busy", "offline"];
const other = "\u0000other";

/** Pane is the client of one user. */
export function Pane({ model, name, shown }: { model: PaneModel; name: string; shown: boolean }) {
  const creating = useSignal(false);
  const naming = useSignal(false);
  const listing = useSignal(false); // in a narrow pane: the list instead of the conversation
  const user = model.user.value;
  const state = states[model.feedState.value];
  const known = user === "" || users.value.includes(user) ? users.value : [...users.value, user].sort();

  return (
    <section class={`pane ${shown ? "pane-shown" : ""} ${listing.value ? "pane-listing" : ""}`} aria-label={user === "" ? "No user" : `Client of ${user}`} data-pane={name}>
      <header class="pane-head">
        <Avatar id={user || "?"} size="m" status={model.statuses.value.get(user)} />
        {isService.value ? (
          <select
            class="user-select"
            aria-label="User of this pane"
            value={user}
            onChange={(event) => {
              const chosen = event.currentTarget.value;
              if (chosen === other) {
                event.currentTarget.value = user;
                naming.value = true;
              } else {
                listing.value = false;
                model.start(chosen, "");
              }
            }}
          >
            {user === "" && <option value="">Choose a user</option>}
            {known.map((id) => (
              <option key={id} value={id}>
                {id}
              </option>
            ))}
            <option value={other}>Another user…</option>
          </select>
        ) : (
          <strong class="user-name">{user}</strong>
        )}
        {user !== "" && (
          <>
            <select
              class="status-select"
              aria-label={`Status of ${user}`}
              value={model.statuses.value.get(user) ?? "online"}
              onChange={(event) => void model.setStatus(event.currentTarget.value as (typeof statuses)[number])}
            >
              {statuses.map((status) => (
                <option key={status} value={status}>
                  {status === "offline" ? "hidden" : status}
                </option>
              ))}
            </select>
            <span class={`feed-state feed-${model.feedState.value}`} role="status" title={`The feed of ${user} is ${state}`}>
              <i aria-hidden="true" />
              {state}
            </span>
          </>
        )}
      </header>
      {user === "" ? (
        <NoUser />
      ) : (
        <div class="pane-body">
          <ChatList model={model} onCreate={() => (creating.value = true)} onOpen={() => (listing.value = false)} />
          <Conversation model={model} onBack={() => (listing.value = true)} shown={shown} />
        </div>
      )}
      {creating.value && <CreateChat model={model} onClose={() => (creating.value = false)} />}
      {naming.value && (
        <NameUser
          onClose={() => (naming.value = false)}
          onName={(id) => {
            know(id);
            model.start(id, "");
          }}
        />
      )}
    </section>
  );
}

function NameUser({ onName, onClose }: { onName: (id: string) => void; onClose: () => void }) {
  const id = useSignal("");
  return (
    <Dialog title="Another user" onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          onName(id.value.trim());
          onClose();
        }}
      >
        <Field label="Id of the user" hint="Letters, digits and some punctuation. An id that no chat has yet is a new user.">
          <input required maxLength={128} value={id.value} onInput={(event) => (id.value = event.currentTarget.value)} />
        </Field>
        <footer>
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" kind="primary" disabled={id.value.trim() === ""}>
            Act as this user
          </Button>
        </footer>
      </form>
    </Dialog>
  );
}

function ChatList({ model, onCreate, onOpen }: { model: PaneModel; onCreate: () => void; onOpen: () => void }) {
  const chats = model.chats.value;
  const now = useSignal(0); // of the times in the list
  useEffect(() => {
    const timer = setInterval(() => now.value++, 60_000);
    return () => clearInterval(timer);
  }, []);
  void now.value;
  return (
    <nav class="chat-list" aria-label={`Chats of ${model.user.value}`}>
      <div class="chat-list-head">
        <h2>Chats</h2>
        <Button small kind="quiet" icon="plus" label="Create a chat" onClick={onCreate} />
      </div>
      {model.listError.value !== undefined && <ErrorNote error={model.listError.value} onRetry={() => void model.refresh()} />}
      {chats === undefined && model.listError.value === undefined && <Loading what="chats" />}
      {chats?.length === 0 && (
        <Empty icon="chat" title="No chats yet">
          <Button kind="primary" icon="plus" onClick={onCreate}>
            Create a chat
          </Button>
        </Empty>
      )}
      {chats !== undefined && chats.length > 0 && (
        <ul>
          {chats.map((chat) => {
            const typing = [...(model.typing.value.get(chat.id)?.keys() ?? [])].filter((id) => id !== model.user.value);
            return (
              <li key={chat.id}>
                <button
                  type="button"
                  class="chat-item"
                  aria-current={chat.id === model.chatId.value ? "true" : undefined}
                  onClick={() => {
                    if (chat.id !== model.chatId.value) {
                      model.show(chat.id);
                    }
                    onOpen();
                  }}
                >
                  <Avatar id={nameOf(chat)} size="m" />
                  <span class="chat-item-text">
                    <span class="chat-item-title">
                      <b>{nameOf(chat)}</b>
                      {chat.lastAt && <time dateTime={chat.lastAt.toISOString()}>{whenText(chat.lastAt)}</time>}
                    </span>
                    <span class="chat-item-last">
                      {typing.length > 0 ? <em class="typing-text">{typing.join(", ")} typing…</em> : <span>{previewText(chat, model.user.value)}</span>}
                      {chat.archived && <Icon name="clock" size={14} />}
                      {chat.mentions > 0 && (
                        <b class="count" aria-label={`${chat.mentions} mentions`}>
                          @{chat.mentions}
                        </b>
                      )}
                      {chat.unread > 0 && (
                        <b class="count" aria-label={`${chat.unread} unread`}>
                          {chat.unread}
                        </b>
                      )}
                    </span>
                  </span>
                </button>
              </li>
            );
          })}
        </ul>
      )}
    </nav>
  );
}
