import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { agoText, fullText, plural } from "../format";
import { hashOf } from "../router";
import { client } from "../session";
import { Badge, Button, Confirm, Empty, ErrorNote, Json, Loading, useTask } from "../ui";
import type { Group } from "./samples";
import { sample } from "./samples";

type Letter = Awaited<ReturnType<typeof client.admin.deadLetters.get>>;

/** payloadOf returns the payload of a dead letter as JSON, or as text. */
function payloadOf(letter: Letter): unknown {
  const text = new TextDecoder().decode(letter.payload);
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

/** DeadLetters lists the dead letters of a group, and retries and drops them. */
export function DeadLetters({ group }: { group: Group }) {
  const letters = useSignal<readonly Letter[] | undefined>(undefined);
  const next = useSignal("");
  const loading = useTask();
  const load = (pageToken = "") =>
    loading.run(async () => {
      const { items, nextPageToken } = await client.admin.deadLetters.list({ group: group.name, pageSize: 50, pageToken }).page();
      letters.value = pageToken === "" ? items : [...letters.value!, ...items];
      next.value = nextPageToken;
    });
  useEffect(() => load(), [group.name, group.deadLetters]);
  return (
    <section class="letters" aria-label="Dead letters">
      <header class="section-head">
        <h2>Dead letters</h2>
        {group.deadLetters > 0 && <Badge tone="bad">{group.deadLetters}</Badge>}
        <span class="spacer" />
        <Button small kind="quiet" icon="rebuild" label="Load anew" onClick={() => load()} />
      </header>
      {loading.error.value !== undefined && <ErrorNote error={loading.error.value} onRetry={() => load()} />}
      {letters.value === undefined && loading.error.value === undefined && <Loading what="dead letters" />}
      {letters.value?.length === 0 && (
        <div class="card">
          <Empty icon="check" title="No dead letters">
            A delivery that fails for good appears here, with its payload and the reason, and can be retried.
          </Empty>
        </div>
      )}
      {letters.value !== undefined && letters.value.length > 0 && (
        <ul class="letter-list">
          {letters.value.map((letter) => (
            <LetterRow key={letter.id} letter={letter} reload={() => (load(), void sample())} />
          ))}
        </ul>
      )}
      {next.value !== "" && (
        <Button small onClick={() => load(next.value)}>
          More dead letters
        </Button>
      )}
    </section>
  );
}

function LetterRow({ letter, reload }: { letter: Letter; reload: () => void }) {
  const open = useSignal(false);
  const dropping = useSignal(false);
  const retried = useSignal(false);
  const task = useTask();
  const { id, group, chatId, seq, parked, retrying } = letter;
  const at = letter.failedAt ?? letter.createdAt;
  return (
    <li class="card letter">
      <div class="letter-head">
        <button type="button" class="letter-toggle" aria-expanded={open.value} onClick={() => (open.value = !open.value)}>
          <span class="letter-reason">{letter.reason || "no reason was given"}</span>
          <span class="letter-facts muted">
            {chatId ? `${chatId}, seq ${seq}` : letter.entryId} · {plural(letter.attempts, "attempt")} · {at && <time title={fullText(at)}>{agoText(at)}</time>}
          </span>
        </button>
        {parked && <Badge tone="bad">chat waits</Badge>}
        {(retrying || retried.value) && <Badge tone="accent">retrying</Badge>}
        <Button
          small
          icon="rebuild"
          disabled={task.busy.value}
          onClick={() =>
            task.run(
              () => client.admin.deadLetters.retry({ group, id }),
              () => {
                retried.value = true;
                setTimeout(reload, 700);
                setTimeout(reload, 2500);
              },
            )
          }
        >
          Retry
        </Button>
        <Button small icon="trash" onClick={() => (dropping.value = true)}>
          Drop
        </Button>
      </div>
      {task.error.value !== undefined && <ErrorNote error={task.error.value} onClose={() => (task.error.value = undefined)} />}
      {open.value && (
        <div class="letter-body">
          <dl class="facts">
            {chatId && (
              <>
                <dt>Event</dt>
                <dd>
                  <a href={hashOf("history", chatId, seq)}>
                    {chatId}, seq {seq}
                  </a>
                </dd>
              </>
            )}
            <dt>Became one</dt>
            <dd>{letter.createdAt && fullText(letter.createdAt)}</dd>
            {letter.firstReason !== letter.reason && (
              <>
                <dt>First reason</dt>
                <dd>{letter.firstReason}</dd>
              </>
            )}
            {letter.failedAt && (
              <>
                <dt>Last retry failed</dt>
                <dd>{fullText(letter.failedAt)}</dd>
              </>
            )}
          </dl>
          <Json label="Payload of the dead letter" value={payloadOf(letter)} />
        </div>
      )}
      {dropping.value && (
        <Confirm
          title="Drop this dead letter?"
          text={`The group never handles this event.${parked ? " Its chat goes on with the next one." : ""}`}
          action="Drop"
          onClose={() => (dropping.value = false)}
          onConfirm={() => client.admin.deadLetters.drop({ group, id }).then(reload)}
        />
      )}
    </li>
  );
}
