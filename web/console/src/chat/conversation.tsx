import { useSignal, type Signal } from "@preact/signals";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import type { Message } from "@chatcore/client";
import { dayText, plural } from "../format";
import { Icon } from "../icons";
import { hashOf } from "../router";
import { Avatar, Button, Confirm, Empty, ErrorNote, Loading } from "../ui";
import { Members } from "./members";
import { nameOf } from "./fold";
import { MessageRow } from "./message";
import { ChatSettings, Pins } from "./settings";
import type { PaneModel } from "./pane_model";

const groupMs = 5 * 60_000;
const bottomPx = 60;

/** Draft is what the composer is about. */
export interface Draft {
  text: string;
  replyTo?: Message | undefined;
  edits?: Message | undefined;
}

/** Conversation is the open chat of a pane. */
export function Conversation({ model, onBack, shown }: { model: PaneModel; onBack: () => void; shown: boolean }) {
  const dialog = useSignal<"" | "members" | "pins" | "settings">("");
  const deleting = useSignal<Message | undefined>(undefined);
  const draft = useSignal<Draft>({ text: "" });
  const input = useRef<HTMLTextAreaElement>(null);
  const { chat, chatId } = model;
  const id = chatId.value;
  useEffect(() => {
    draft.value = { text: "" };
  }, [id, model.user.value, model.threadId.value]);

  if (id === "") {
    return (
      <div class="conversation">
        <ConversationHead onBack={onBack} title="No chat is open" />
        <Empty icon="chat" title="No chat is open">
          Choose one from the list, or create one.
        </Empty>
      </div>
    );
  }
  const members = model.members.value;
  const inThread = model.threadId.value !== "";
  const messages = inThread ? model.thread.value : model.messages.value;
  const focus = () => input.current?.focus();
  return (
    <div class="conversation">
      <ConversationHead onBack={onBack} title={chat.value ? nameOf(chat.value) : id}>
        <Button small kind="quiet" icon="members" onClick={() => (dialog.value = "members")} title={members.map(({ userId }) => userId).join(", ")}>
          {plural(members.length, "member")}
        </Button>
        <Button small kind="quiet" icon="pin" label="Pinned messages" onClick={() => (dialog.value = "pins")} />
        <Button small kind="quiet" icon="settings" label="Settings of the chat" onClick={() => (dialog.value = "settings")} />
        <a class="button button-quiet button-small button-icon" href={hashOf("history", id)} aria-label="History of the chat" title="History of the chat">
          <Icon name="history" size={16} />
        </a>
      </ConversationHead>
      {inThread && (
        <div class="thread-head">
          <Button small kind="quiet" icon="back" label="Back to the chat" onClick={() => void model.showThread("")} />
          <h3>Thread</h3>
        </div>
      )}
      {model.chatError.value !== undefined ? (
        <ErrorNote error={model.chatError.value} onRetry={() => void model.load()} />
      ) : messages === undefined ? (
        <Loading what="messages" />
      ) : (
        <Messages
          model={model}
          messages={messages}
          shown={shown}
          onReply={(message) => ((draft.value = { text: draft.value.text, replyTo: message }), focus())}
          onEdit={(message) => ((draft.value = { text: message.content, edits: message }), focus())}
          onDelete={(message) => (deleting.value = message)}
        />
      )}
      <TypingLine model={model} />
      {model.actionError.value !== undefined && <ErrorNote error={model.actionError.value} onClose={() => (model.actionError.value = undefined)} />}
      <Composer model={model} draft={draft} input={input} />
      {dialog.value === "members" && <Members model={model} onClose={() => (dialog.value = "")} />}
      {dialog.value === "pins" && <Pins model={model} onClose={() => (dialog.value = "")} />}
      {dialog.value === "settings" && <ChatSettings model={model} onClose={() => (dialog.value = "")} />}
      {deleting.value && (
        <Confirm
          title="Delete this message?"
          text="Everyone sees that there was one. Its content stays in the log."
          action="Delete"
          onClose={() => (deleting.value = undefined)}
          onConfirm={() => model.delete(deleting.value!.id)}
        />
      )}
    </div>
  );
}

function ConversationHead({ title, onBack, children }: { title: string; onBack: () => void; children?: preact.ComponentChildren }) {
  return (
    <header class="conversation-head">
      <Button small kind="quiet" icon="back" label="Back to the chats" class="back" onClick={onBack} />
      <h2>{title}</h2>
      {children}
    </header>
  );
}

interface MessagesProps {
  model: PaneModel;
  messages: readonly Message[];
  shown: boolean;
  onReply: (message: Message) => void;
  onEdit: (message: Message) => void;
  onDelete: (message: Message) => void;
}

/** Messages is the list of messages. Arrow keys move between them, and their actions follow by Tab. */
function Messages({ model, messages, shown, onReply, onEdit, onDelete }: MessagesProps) {
  const list = useRef<HTMLDivElement>(null);
  const atBottom = useRef(true);
  const active = useSignal("");
  const inThread = model.threadId.value !== "";
  const outgoing = model.outgoing.value.filter(({ chatId, threadId, id }) => chatId === model.chatId.value && threadId === model.threadId.value && !messages.some((message) => message.id === id));
  const last = messages.at(-1)?.seq;

  useLayoutEffect(() => {
    if (atBottom.current && list.current) {
      list.current.scrollTop = list.current.scrollHeight;
    }
  });
  useEffect(() => {
    atBottom.current = true;
    list.current!.scrollTop = list.current!.scrollHeight;
  }, [model.chatId.value, outgoing.length]);
  useEffect(() => {
    const read = () => {
      const visible = list.current && list.current.offsetParent !== null;
      if (!document.hidden && visible && atBottom.current && !inThread) {
        model.readAll();
      }
    };
    read();
    document.addEventListener("visibilitychange", read);
    return () => document.removeEventListener("visibilitychange", read);
  }, [last, shown, model.marks.value, model.chat.value?.unread]);

  const move = (event: KeyboardEvent) => {
    const step = { ArrowUp: -1, ArrowDown: 1, Home: -Infinity, End: Infinity }[event.key];
    if (step === undefined || messages.length === 0 || (event.target as HTMLElement).matches("input, textarea")) {
      return;
    }
    event.preventDefault();
    const from = messages.findIndex(({ id }) => id === active.value);
    const to = Math.max(0, Math.min(messages.length - 1, from < 0 ? messages.length - 1 : from + step));
    active.value = messages[to]!.id;
    list.current!.querySelector<HTMLElement>(`[data-message="${CSS.escape(active.value)}"]`)?.focus();
  };
  const seen = inThread ? new Map<string, string[]>() : seenBy(model, messages);
  return (
    <div
      ref={list}
      class="messages"
      role="log"
      tabIndex={0}
      aria-label={`Messages of ${model.chat.value ? nameOf(model.chat.value) : model.chatId.value}`}
      onKeyDown={move}
      onScroll={(event) => {
        const { scrollTop, scrollHeight, clientHeight } = event.currentTarget;
        atBottom.current = scrollHeight - scrollTop - clientHeight < bottomPx;
        if (atBottom.current && !inThread) {
          model.readAll();
        }
      }}
    >
      {model.olderToken.value !== "" && !inThread && (
        <Button small class="older" onClick={() => void model.act(() => model.loadOlder())}>
          Older messages
        </Button>
      )}
      {messages.length === 0 && outgoing.length === 0 && (
        <Empty icon="chat" title="No messages yet">
          Write the first one.
        </Empty>
      )}
      {messages.map((message, i) => {
        const before = messages[i - 1];
        const newDay = !before || dayText(before.sentAt!) !== dayText(message.sentAt!);
        const grouped = !newDay && before.senderId === message.senderId && message.sentAt!.getTime() - before.sentAt!.getTime() < groupMs;
        return (
          <>
            {newDay && (
              <p class="day" key={`day ${message.id}`}>
                <span>{dayText(message.sentAt!)}</span>
              </p>
            )}
            <MessageRow
              key={message.id}
              model={model}
              message={message}
              grouped={grouped}
              active={active}
              seen={seen.get(message.id) ?? []}
              onReply={() => onReply(message)}
              onEdit={() => onEdit(message)}
              onDelete={() => onDelete(message)}
            />
          </>
        );
      })}
      {outgoing.map(({ id, threadId, content, replyTo, error }) => (
        <div key={id} class="message message-mine message-outgoing">
          <div class="bubble">
            <p class="message-text">{content}</p>
          </div>
          {error === undefined ? (
            <p class="outgoing-state">
              <Icon name="clock" size={13} /> sending…
            </p>
          ) : (
            <ErrorNote error={error} onRetry={() => void model.send(content, replyTo, id, threadId)} onClose={() => model.discard(id)} />
          )}
        </div>
      ))}
    </div>
  );
}

/** seenBy returns for each message the other members whose read mark it is the last one before. */
function seenBy(model: PaneModel, messages: readonly Message[]): Map<string, string[]> {
  const seen = new Map<string, string[]>();
  for (const { userId } of model.members.value) {
    const mark = model.marks.value.get(userId) ?? 0;
    const last = userId === model.user.value ? undefined : messages.findLast(({ seq }) => seq <= mark);
    if (last && last.senderId !== userId) {
      seen.set(last.id, [...(seen.get(last.id) ?? []), userId]);
    }
  }
  return seen;
}

function TypingLine({ model }: { model: PaneModel }) {
  const typing = [...(model.typing.value.get(model.chatId.value)?.keys() ?? [])].filter((id) => id !== model.user.value);
  return (
    <p class="typing" aria-live="polite">
      {typing.length > 0 && (
        <>
          {typing.map((id) => (
            <Avatar key={id} id={id} size="xs" />
          ))}
          <span>
            {typing.join(", ")} {typing.length === 1 ? "is" : "are"} typing
          </span>
          <i class="typing-dots" aria-hidden="true">
            <b />
            <b />
            <b />
          </i>
        </>
      )}
    </p>
  );
}

/** Composer writes, replies and edits. Enter sends, Shift+Enter begins a line, Escape ends a reply or an edit. */
function Composer({ model, draft, input }: { model: PaneModel; draft: Signal<Draft>; input: preact.RefObject<HTMLTextAreaElement | null> }) {
  const { text, replyTo, edits } = draft.value;
  const archived = model.chat.value?.archived ?? false;
  useLayoutEffect(() => {
    const area = input.current!;
    area.style.height = "auto";
    area.style.height = `${Math.min(area.scrollHeight, 160)}px`;
  }, [text]);
  const submit = async () => {
    const content = text.trim();
    if (content === "") {
      return;
    }
    if (edits) {
      if (content === edits.content || (await model.edit(edits.id, content))) {
        draft.value = { text: "" };
      }
      return;
    }
    draft.value = { text: "" };
    await model.send(content, replyTo?.id ?? "");
  };
  const about = edits ?? replyTo;
  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault();
        void submit();
      }}
    >
      {about && (
        <div class="composer-about">
          <Icon name={edits ? "edit" : "reply"} size={15} />
          <span>
            <b>{edits ? "Edit the message" : `Reply to ${about.senderId}`}</b>
            <q>{about.content}</q>
          </span>
          <Button small kind="quiet" icon="close" label={edits ? "Cancel the edit" : "Cancel the reply"} onClick={() => (draft.value = { text: edits ? "" : text })} />
        </div>
      )}
      <div class="composer-line">
        <textarea
          ref={input}
          rows={1}
          disabled={archived}
          aria-label={`Message of ${model.user.value}`}
          placeholder={archived ? "The chat is archived" : `${model.threadId.value === "" ? "Write" : "Reply in the thread"} as ${model.user.value}`}
          value={text}
          onInput={(event) => {
            draft.value = { ...draft.value, text: event.currentTarget.value };
            if (event.currentTarget.value === "") {
              model.stopTyping();
            } else if (!edits) {
              model.typed();
            }
          }}
          onBlur={() => model.stopTyping()}
          onKeyDown={(event) => {
            if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
              event.preventDefault();
              void submit();
            } else if (event.key === "Escape" && about) {
              draft.value = { text: edits ? "" : text };
            }
          }}
        />
        <Button type="submit" kind="primary" icon={edits ? "check" : "send"} label={edits ? "Save the edit" : "Send"} disabled={archived || text.trim() === ""} />
      </div>
    </form>
  );
}
