import { useEffect, useRef } from "preact/hooks";
import type { Message } from "@chatcore/client";
import { plural, timeText, fullText } from "../format";
import { describe } from "../describe";
import { Icon } from "../icons";
import { Avatar, Badge, Empty, Loading } from "../ui";
import type { HistoryModel, State } from "./model";

/** StateView is the state of the chat as of the present seq, with what its event has changed. */
export function StateView({ model }: { model: HistoryModel }) {
  const state = model.state.value;
  const event = model.event.value;
  const body = useRef<HTMLDivElement>(null);
  const change = event && describe(event);
  useEffect(() => {
    const box = body.current;
    if (box && box.scrollHeight > box.clientHeight) { // on a phone the page scrolls, and stays where it is
      box.querySelector(".changed")?.scrollIntoView({ block: "nearest" });
    }
  }, [state]);
  return (
    <section class="card state" aria-label={`State as of event ${model.seq.value}`} aria-busy={state?.seq !== model.seq.value}>
      <header>
        <h2>State after event {model.seq.value}</h2>
        {event && change && (
          <p class="change" aria-live="polite">
            <span class={`event-icon tone-${change.tone}`}>
              <Icon name={change.icon} size={15} />
            </span>
            <span>
              <b>{event.actorId}</b> {change.text}
            </span>
          </p>
        )}
      </header>
      {state === undefined ? (
        <Loading what="the state" />
      ) : (
        <div class="state-body" ref={body}>
          <div class={change?.title ? "state-title changed" : "state-title"}>
            <Avatar id={state.chat.title || state.chat.id} size="l" />
            <div>
              <h3>{state.chat.title || state.chat.id}</h3>
              <p class="muted">
                <code>{state.chat.id}</code> · created by {state.chat.createdBy}
                {state.chat.createdAt && `, ${fullText(state.chat.createdAt)}`}
              </p>
            </div>
            {state.chat.archived && <Badge tone="warn">archived</Badge>}
          </div>
          <StateMembers model={model} state={state} changed={change?.userId} />
          <StateMessages state={state} changed={change?.tone === "read" ? undefined : change?.messageId} />
        </div>
      )}
    </section>
  );
}

function StateMembers({ model, state, changed }: { model: HistoryModel; state: State; changed: string | undefined }) {
  const gone = changed !== undefined && !state.members.some(({ userId }) => userId === changed) ? changed : undefined;
  return (
    <div class="state-part">
      <h3>
        {plural(state.members.length, "member")} <small class="muted">and how far each has read</small>
      </h3>
      <ul class="state-members">
        {state.members.map(({ userId, role }) => {
          const mark = model.marks.value.get(userId);
          return (
            <li key={userId} class={userId === changed ? "changed" : ""}>
              <Avatar id={userId} size="s" />
              <span class="state-member">
                <b>{userId}</b>
                <small>{mark === undefined ? "has read nothing" : `read to ${mark}`}</small>
              </span>
              {role !== "member" && <Badge tone={role === "owner" ? "accent" : "neutral"}>{role}</Badge>}
            </li>
          );
        })}
        {gone !== undefined && (
          <li class="changed state-gone">
            <Avatar id={gone} size="s" />
            <b>{gone}</b>
            <Badge tone="bad">gone</Badge>
          </li>
        )}
      </ul>
    </div>
  );
}

function StateMessages({ state, changed }: { state: State; changed: string | undefined }) {
  return (
    <div class="state-part">
      <h3>
        {state.more ? "The latest messages" : plural(state.messages.length, "message")} <small class="muted">with edits, deletions and reactions so far</small>
      </h3>
      {state.messages.length === 0 ? (
        <Empty icon="chat" title="No message so far">
          Move on to the first one.
        </Empty>
      ) : (
        <ul class="state-messages">
          {state.messages.map((message) => (
            <StateMessage key={message.id} message={message} changed={message.id === changed} />
          ))}
        </ul>
      )}
    </div>
  );
}

function StateMessage({ message, changed }: { message: Message; changed: boolean }) {
  return (
    <li class={changed ? "changed" : ""}>
      <Avatar id={message.senderId} size="s" />
      <div>
        <p class="state-message-head">
          <b>{message.senderId}</b>
          <small class="muted">
            seq {message.seq} · {timeText(message.sentAt!)}
          </small>
          {message.replyTo !== "" && <Badge>reply</Badge>}
          {message.revision > 0 && <Badge tone="warn">{message.revision === 1 ? "edited" : `edited ${message.revision} times`}</Badge>}
          {message.deletedAt && <Badge tone="bad">deleted</Badge>}
        </p>
        {message.deletedAt ? <p class="muted">Deleted by {message.deletedBy}{message.deleteReason && `: ${message.deleteReason}`}</p> : <p class="message-text">{message.content}</p>}
        {message.reactions.length > 0 && (
          <p class="state-reactions">
            {message.reactions.map(({ emoji, userIds }) => (
              <span key={emoji} title={userIds.join(", ")}>
                {emoji} {userIds.join(", ")}
              </span>
            ))}
          </p>
        )}
      </div>
    </li>
  );
}
