import { effect } from "@preact/signals";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { countText, dayText, fullText, secondsText } from "../format";
import { Icon } from "../icons";
import { describe, rawEvent } from "../describe";
import { go, route } from "../router";
import { Badge, Button, CopyButton, Empty, ErrorNote, Json, Loading, codeOf, useTask } from "../ui";
import { HistoryModel, pageSize } from "./model";
import { StateView } from "./state";

/** HistoryPage is the event log of a chat beside its state as of an event. */
export function HistoryPage() {
  const model = useMemo(() => new HistoryModel(), []);
  const task = useTask();
  const find = () => task.run(() => model.loadChats());
  const [, wanted = "", at = ""] = route.value;
  const chats = model.chats.value;

  useEffect(() => {
    find();
    return () => model.close();
  }, []);
  useEffect(() => {
    const chatId = wanted || chats?.find(({ id }) => id === "hike")?.id || chats?.[0]?.id || "";
    if (chats && chatId !== model.chatId.value) {
      void model.open(chatId, Number(at) || 0);
    } else if (chats && Number(at) > 0 && Number(at) !== model.seq.value && model.head.value > 0) {
      model.go(Number(at));
    }
  }, [chats, wanted, at]);
  useEffect(
    () =>
      effect(() => {
        if (model.seq.value > 0) {
          go(["history", model.chatId.value, model.seq.value], true);
        }
      }),
    [],
  );

  if (chats === undefined) {
    return task.error.value === undefined ? <Loading what="the chats" /> : <div class="history-problem"><ErrorNote error={task.error.value} onRetry={find} /></div>;
  }
  if (chats.length === 0) {
    return (
      <Empty icon="history" title="There is no chat yet">
        Create one on the page <a href="#/chat">Chat</a>. Each command appears here as an event.
      </Empty>
    );
  }
  return (
    <div class="history">
      <h1 class="hidden">History of a chat</h1>
      <div class="history-head">
        <select class="history-chat" aria-label="Chat" value={model.chatId.value} onChange={(event) => go(["history", event.currentTarget.value])}>
          {chats.every(({ id }) => id !== model.chatId.value) && <option value={model.chatId.value}>{model.chatId.value}</option>}
          {chats.map(({ id, title }) => (
            <option key={id} value={id}>
              {title ? `${title} (${id})` : id}
            </option>
          ))}
        </select>
        <Slider model={model} />
      </div>
      {model.error.value !== undefined && (
        <div class="history-problem">
          <ErrorNote error={model.error.value} onRetry={() => void model.open(model.chatId.value, model.seq.value)} />
          {codeOf(model.error.value) === "permission_denied" && <p class="muted">The log of a chat is for its owners and admins, and for services with the scope chats:read.</p>}
        </div>
      )}
      {model.head.value > 0 && (
        <div class="history-body">
          <EventList model={model} />
          <StateView model={model} />
        </div>
      )}
    </div>
  );
}

/** Slider moves through the seqs, under a tick for each event. */
function Slider({ model }: { model: HistoryModel }) {
  const head = model.head.value;
  const seq = model.seq.value;
  const event = model.event.value;
  const move = (to: number) => model.go(to);
  const ticks = head <= pageSize ? model.listed.value : [];
  return (
    <div class="slider">
      <Button kind="quiet" icon="first" label="First event" disabled={seq <= 1} onClick={() => move(1)} />
      <Button kind="quiet" icon="back" label="Event before" disabled={seq <= 1} onClick={() => move(seq - 1)} />
      <div class="slider-track">
        {ticks.length > 0 && (
          <div class="ticks" aria-hidden="true">
            {ticks.map((tick) => (
              <i key={tick.seq} class={`tick tone-${describe(tick).tone} ${tick.seq <= seq ? "tick-done" : ""} ${tick.seq === seq ? "tick-now" : ""}`} />
            ))}
          </div>
        )}
        <input
          type="range"
          style={{ "--done": `${head > 1 ? ((seq - 1) / (head - 1)) * 100 : 100}%` }}
          min={1}
          max={Math.max(head, 1)}
          value={seq}
          disabled={head <= 1}
          aria-label="Seq of the event"
          aria-valuetext={event ? `Event ${seq} of ${head}: ${event.actorId} ${describe(event).text}` : `Event ${seq} of ${head}`}
          onInput={(input) => move(Number(input.currentTarget.value))}
        />
      </div>
      <Button kind="quiet" icon="next" label="Event after" disabled={seq >= head} onClick={() => move(seq + 1)} />
      <Button kind="quiet" icon="last" label="Last event" disabled={seq >= head} onClick={() => move(head)} />
      <span class="slider-text">
        <b>{countText(seq)}</b> of {countText(head)}
      </span>
      <Badge tone={seq === head && model.live.value ? "good" : "neutral"}>{seq === head && model.live.value ? "live" : model.live.value ? "in the past" : "connecting"}</Badge>
    </div>
  );
}

/** EventList is the log. Arrow keys move through it. */
function EventList({ model }: { model: HistoryModel }) {
  const list = useRef<HTMLUListElement>(null);
  const seq = model.seq.value;
  const listed = model.listed.value;
  const first = model.first.value;
  useEffect(() => {
    const box = list.current;
    const item = box?.querySelector<HTMLElement>(`[data-seq="${seq}"]`);
    if (box && item) {
      box.scrollTop = item.offsetTop - (box.clientHeight - item.offsetHeight) / 2; // not scrollIntoView, which moves the page too
    }
  }, [seq, listed.length]);
  const step = (event: KeyboardEvent) => {
    const to = { ArrowUp: seq - 1, ArrowLeft: seq - 1, ArrowDown: seq + 1, ArrowRight: seq + 1, PageUp: seq - 10, PageDown: seq + 10, Home: 1, End: model.head.value }[event.key];
    if (to !== undefined) {
      event.preventDefault();
      model.go(to);
    }
  };
  const event = model.event.value;
  return (
    <section class="card event-log" aria-label="Event log">
      <header>
        <h2>Event log</h2>
        {model.head.value > pageSize && (
          <span class="pager">
            <Button small kind="quiet" icon="back" label="Earlier events" disabled={first <= 1} onClick={() => model.go(first - 1)} />
            {countText(first)}–{countText(Math.min(first + pageSize - 1, model.head.value))}
            <Button small kind="quiet" icon="next" label="Later events" disabled={first + pageSize > model.head.value} onClick={() => model.go(first + pageSize)} />
          </span>
        )}
      </header>
      <ul ref={list} class="events" role="listbox" tabIndex={0} aria-label="Events" aria-activedescendant={`event-${seq}`} onKeyDown={step}>
        {listed.map((item) => {
          const { icon, tone, text, detail } = describe(item);
          return (
            <li key={item.seq} id={`event-${item.seq}`} role="option" data-seq={item.seq} aria-selected={item.seq === seq} class={item.seq > seq ? "event event-later" : "event"} onClick={() => model.go(item.seq)}>
              <span class="event-seq">{item.seq}</span>
              <span class={`event-icon tone-${tone}`}>
                <Icon name={icon} size={15} />
              </span>
              <span class="event-text">
                <span>
                  <b>{item.actorId || "unknown"}</b> {text}
                </span>
                {detail && <small>{detail}</small>}
              </span>
              <time dateTime={item.occurredAt?.toISOString()} title={item.occurredAt && fullText(item.occurredAt)}>
                {item.occurredAt && secondsText(item.occurredAt)}
              </time>
            </li>
          );
        })}
      </ul>
      {event && (
        <div class="event-json">
          <header>
            <span class="mono">{event.type}</span>
            <small class="muted">{event.occurredAt && `${dayText(event.occurredAt)}, ${secondsText(event.occurredAt)}`}</small>
            <CopyButton label="Copy the event as JSON" text={JSON.stringify(rawEvent(event), null, 2)} />
          </header>
          <Json label={`Event ${event.seq} as JSON`} value={rawEvent(event)} />
        </div>
      )}
    </section>
  );
}

