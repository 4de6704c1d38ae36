import { useSignal, type Signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import type { Message } from "@chatcore/client";
import { fullText, plural, timeText } from "../format";
import { Avatar, Button, hueOf } from "../ui";
import type { PaneModel } from "./pane_model";

const quick = ["👍", "❤️", "😂", "🎉", "👀", "🙏"];

interface Props {
  model: PaneModel;
  message: Message;
  grouped: boolean;
  active: Signal<string>;
  seen: readonly string[];
  onReply: () => void;
  onEdit: () => void;
  onDelete: () => void;
}

/** MessageRow is one message with its reactions and actions. */
export function MessageRow({ model, message, grouped, active, seen, onReply, onEdit, onDelete }: Props) {
  const picking = useSignal(false);
  const user = model.user.value;
  const mine = message.senderId === user;
  const isActive = active.value === message.id;
  const deleted = message.deletedAt !== undefined;
  const tab = isActive ? 0 : -1;
  const mayPin = model.isDirect.value || model.moderates.value;
  const replies = message.thread?.replies ?? 0;
  const mentioned = message.mentions.includes(user) || message.broadcast === "all";
  const mayDelete = mine || model.role.value === "owner" || model.role.value === "admin";
  const quoted = message.replyTo === "" ? undefined : model.messages.value?.find(({ id }) => id === message.replyTo);
  return (
    <article
      class={["message", mine && "message-mine", grouped && "message-grouped", deleted && "message-deleted", isActive && "message-active", mentioned && "message-mentions"].filter(Boolean).join(" ")}
      data-message={message.id}
      tabIndex={-1}
      aria-label={`${message.senderId}, ${timeText(message.sentAt!)}`}
      onFocusCapture={() => (active.value = message.id)}
      onMouseLeave={() => (picking.value = false)}
    >
      {!mine && <span class="message-avatar">{!grouped && <Avatar id={message.senderId} size="s" />}</span>}
      <div class="message-body">
        {!grouped && !mine && <b class={`message-sender text-hue-${hueOf(message.senderId)}`}>{message.senderId}</b>}
        <div class="bubble">
          {message.replyTo !== "" && (
            <blockquote class="quote">
              <b>{quoted?.senderId ?? "Reply"}</b>
              <span>{message.replyDeleted || quoted?.deletedAt ? "Message deleted" : (quoted?.content ?? "An earlier message")}</span>
            </blockquote>
          )}
          <p class="message-text">{deleted ? `Deleted by ${message.deletedBy === user ? "you" : message.deletedBy}` : message.unreadable ? "Only a newer version can read this message" : message.content}</p>
          {message.attachments.map((file) => (
            <p key={file.url} class="attachment">
              📎 {file.name}
            </p>
          ))}
          <span class="message-meta">
            {message.pinnedAt && <span title={`Pinned by ${message.pinnedBy}`}>pinned</span>}
            {message.revision > 0 && !deleted && <span title={message.editedAt && fullText(message.editedAt)}>edited</span>}
            <time dateTime={message.sentAt!.toISOString()} title={`seq ${message.seq}, ${fullText(message.sentAt!)}`}>
              {timeText(message.sentAt!)}
            </time>
          </span>
        </div>
        {message.reactions.length > 0 && (
          <div class="reactions">
            {message.reactions.map(({ emoji, userIds }) => (
              <button
                key={emoji}
                type="button"
                class="reaction"
                tabIndex={tab}
                aria-pressed={userIds.includes(user)}
                aria-label={`${emoji} ${userIds.length}, by ${userIds.join(", ")}`}
                title={userIds.join(", ")}
                onClick={() => void model.react(message, emoji)}
              >
                {emoji} <b>{userIds.length}</b>
              </button>
            ))}
          </div>
        )}
        {replies > 0 && model.threadId.value === "" && (
          <button type="button" class="thread-link" onClick={() => void model.act(() => model.showThread(message.id))}>
            {plural(replies, "reply", "replies")}
          </button>
        )}
        {seen.length > 0 && (
          <div class="seen" title={`Seen by ${seen.join(", ")}`}>
            <span class="hidden">Seen by {seen.join(", ")}</span>
            <span aria-hidden="true">Seen</span>
            {seen.map((id) => (
              <Avatar key={id} id={id} size="xs" />
            ))}
          </div>
        )}
        {!deleted && (
          <div class="message-actions" role="toolbar" aria-label="Actions">
            {picking.value ? (
              <Emojis
                chosen={(emoji) => {
                  picking.value = false;
                  void model.react(message, emoji);
                }}
                cancel={() => (picking.value = false)}
              />
            ) : (
              <>
                <Button small kind="quiet" icon="smile" label="React" tabIndex={tab} onClick={() => (picking.value = true)} />
                <Button small kind="quiet" icon="reply" label="Reply" tabIndex={tab} onClick={onReply} />
                {model.threadId.value === "" && message.threadId === "" && (
                  <Button small kind="quiet" icon="thread" label="Reply in a thread" tabIndex={tab} onClick={() => void model.act(() => model.showThread(message.id))} />
                )}
                {mayPin && <Button small kind="quiet" icon="pin" label={message.pinnedAt ? "Unpin" : "Pin"} tabIndex={tab} onClick={() => void model.pin(message)} />}
                {mine && <Button small kind="quiet" icon="edit" label="Edit" tabIndex={tab} onClick={onEdit} />}
                {mayDelete && <Button small kind="quiet" icon="trash" label="Delete" tabIndex={tab} onClick={onDelete} />}
              </>
            )}
          </div>
        )}
      </div>
    </article>
  );
}

function Emojis({ chosen, cancel }: { chosen: (emoji: string) => void; cancel: () => void }) {
  const first = useRef<HTMLButtonElement>(null);
  useEffect(() => first.current?.focus(), []);
  return (
    <span class="emojis" onKeyDown={(event) => event.key === "Escape" && (event.stopPropagation(), cancel())}>
      {quick.map((emoji, i) => (
        <button key={emoji} ref={i === 0 ? first : null} type="button" aria-label={`React with ${emoji}`} onClick={() => chosen(emoji)}>
          {emoji}
        </button>
      ))}
    </span>
  );
}
