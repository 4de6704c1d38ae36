import { useSignal, type Signal } from "@preact/signals";
import { agoText, durationText, fullText, plural } from "../format";
import { hashOf } from "../router";
import { call } from "../session";
import { Badge, Button, Confirm, CopyButton, Dialog, Empty, ErrorNote, Field, Loading, PageHead, codeOf, usePolling, useTask } from "../ui";

const service = "chatcore.admin.v1.WebhookService";
const pollMs = 3_000;

/** Webhook, Attempt and Secret are as the API has them in JSON. */
interface Webhook {
  name: string;
  url: string;
  timeout?: string;
  state?: string;
  nextProbeAt?: string;
  oldSecretExpiresAt?: string;
  definition?: { paused?: boolean; pauseReason?: string; settings?: { eventTypes?: string[]; chatIds?: string[] }; createdAt?: string };
}

interface Attempt {
  startedAt: string;
  took?: string;
  eventId?: string;
  chatId?: string;
  seq?: number;
  type?: string;
  attempt?: number;
  status?: number;
  ok?: boolean;
  error?: string;
  answer?: string;
}

interface Secret {
  name: string;
  secret: string;
}

const seconds = (text: string | undefined): number => (text ? Number.parseFloat(text) * 1000 : 0);

const states: Record<string, { tone: "good" | "warn" | "bad" | "neutral" | "accent"; text: string }> = {
  ENDPOINT_STATE_UP: { tone: "good", text: "up" },
  ENDPOINT_STATE_DOWN: { tone: "bad", text: "down: events wait" },
  ENDPOINT_STATE_PROBED: { tone: "warn", text: "down: one event is tried" },
  ENDPOINT_STATE_PAUSED: { tone: "warn", text: "paused" },
};

/** WebhooksPage administers webhooks. */
export function WebhooksPage() {
  const webhooks = useSignal<readonly Webhook[] | undefined>(undefined);
  const error = useSignal<unknown>(undefined);
  const creating = useSignal(false);
  const secret = useSignal<Secret | undefined>(undefined);
  const load = async (signal?: AbortSignal) => {
    try {
      webhooks.value = (await call<{ webhooks?: Webhook[] }>(`${service}/ListWebhooks`, {}, signal)).webhooks ?? [];
      error.value = undefined;
    } catch (failure) {
      if (!signal?.aborted) {
        error.value = failure;
      }
    }
  };
  usePolling(load, pollMs);
  const code = codeOf(error.value);
  const off = code === "unimplemented" || code === "failed_precondition";
  return (
    <div class="webhooks">
      <PageHead title="Webhooks" text="A webhook posts each durable event to an HTTP endpoint, signed as Standard Webhooks says. Its lag and its dead letters are those of its group.">
        {!off && (
          <Button kind="primary" icon="plus" onClick={() => (creating.value = true)}>
            Create a webhook
          </Button>
        )}
      </PageHead>
      {off ? (
        <div class="card">
          <Empty icon="webhooks" title="This server has no webhooks">
            {error.value instanceof Error && error.value.message}. Set <code>webhooks.keys</code> (<code>CHATCORE_WEBHOOKS_KEYS</code>) to a key that encrypts their secrets, and start it again.
          </Empty>
        </div>
      ) : (
        error.value !== undefined && (
          <>
            <ErrorNote error={error.value} onRetry={() => void load()} />
            {code === "permission_denied" && <p class="muted">Webhooks are for services with the scope webhooks.</p>}
          </>
        )
      )}
      {webhooks.value === undefined && error.value === undefined && <Loading what="webhooks" />}
      {webhooks.value?.length === 0 && !off && (
        <div class="card">
          <Empty icon="webhooks" title="There is no webhook yet">
            <p>Create one, and verify the signature of what it posts with its secret.</p>
            <Button kind="primary" icon="plus" onClick={() => (creating.value = true)}>
              Create a webhook
            </Button>
          </Empty>
        </div>
      )}
      <div class="stack">{!off && webhooks.value?.map((webhook) => <WebhookCard key={webhook.name} webhook={webhook} secret={secret} reload={() => void load()} />)}</div>
      {creating.value && (
        <CreateWebhook
          onClose={() => (creating.value = false)}
          onCreated={(created) => {
            secret.value = created;
            void load();
          }}
        />
      )}
      {secret.value && <SecretDialog secret={secret.value} onClose={() => (secret.value = undefined)} />}
    </div>
  );
}

function WebhookCard({ webhook, secret, reload }: { webhook: Webhook; secret: Signal<Secret | undefined>; reload: () => void }) {
  const { name, url, definition } = webhook;
  const asking = useSignal<"rotate" | "delete" | "">("");
  const tested = useSignal<Attempt | undefined>(undefined);
  const task = useTask();
  const paused = definition?.paused ?? false;
  const state = paused ? states.ENDPOINT_STATE_PAUSED! : (states[webhook.state ?? ""] ?? { tone: "neutral" as const, text: "not run by this instance" });
  const settings = definition?.settings;
  return (
    <section class="card webhook" aria-label={`Webhook ${name}`}>
      <header class="webhook-head">
        <div class="webhook-title">
          <h2>{name}</h2>
          <Badge tone={state.tone}>{state.text}</Badge>
        </div>
        <code class="webhook-url">{url}</code>
        <div class="webhook-actions">
          <Button
            small
            icon="bolt"
            disabled={task.busy.value}
            onClick={() => task.run(async () => (tested.value = (await call<{ attempt: Attempt }>(`${service}/TestWebhook`, { name })).attempt))}
          >
            Test
          </Button>
          <Button small icon={paused ? "play" : "pause"} disabled={task.busy.value} onClick={() => task.run(() => call(`${service}/${paused ? "Resume" : "Pause"}Webhook`, { name }), reload)}>
            {paused ? "Resume" : "Pause"}
          </Button>
          <Button small icon="key" onClick={() => (asking.value = "rotate")}>
            Rotate the secret
          </Button>
          <Button small icon="trash" label={`Delete ${name}`} onClick={() => (asking.value = "delete")} />
        </div>
      </header>
      <p class="webhook-facts muted">
        {settings?.eventTypes?.length ? `Events: ${settings.eventTypes.join(", ")}` : "All events"}
        {settings?.chatIds?.length ? ` of ${plural(settings.chatIds.length, "chat")}` : ""} · {durationText(seconds(webhook.timeout) || 15_000)} for an answer
        {webhook.oldSecretExpiresAt && ` · the secret before signs until ${fullText(new Date(webhook.oldSecretExpiresAt))}`}
        {webhook.nextProbeAt && ` · next probe ${fullText(new Date(webhook.nextProbeAt))}`} · <a href={hashOf("groups", name)}>lag and dead letters</a>
      </p>
      {definition?.pauseReason && (
        <div class="note note-warn">
          <p>Paused: {definition.pauseReason}</p>
        </div>
      )}
      {task.error.value !== undefined && <ErrorNote error={task.error.value} onClose={() => (task.error.value = undefined)} />}
      {tested.value && (
        <div class={`note ${tested.value.ok ? "note-good" : "note-error"}`} role="status">
          <p>
            {tested.value.ok ? "The endpoint took the test" : `The test failed: ${tested.value.error ?? "no reason was given"}`}
            {tested.value.status ? `, status ${tested.value.status}` : ""}, in {durationText(seconds(tested.value.took))}.
          </p>
          <Button small kind="quiet" icon="close" label="Dismiss" onClick={() => (tested.value = undefined)} />
        </div>
      )}
      <Attempts name={name} />
      {asking.value === "rotate" && (
        <Confirm
          title={`Rotate the secret of ${name}?`}
          text="A new secret is made and shown once. The present one signs beside it for 24 hours."
          action="Rotate"
          onClose={() => (asking.value = "")}
          onConfirm={async () => {
            const made = await call<{ secret: string }>(`${service}/RotateWebhookSecret`, { name });
            secret.value = { name, secret: made.secret };
            reload();
          }}
        />
      )}
      {asking.value === "delete" && (
        <Confirm
          title={`Delete ${name}?`}
          text="Its group, its dead letters and its attempts go with it."
          action="Delete"
          onClose={() => (asking.value = "")}
          onConfirm={() => call(`${service}/DeleteWebhook`, { name }).then(reload)}
        />
      )}
    </section>
  );
}

function Attempts({ name }: { name: string }) {
  const attempts = useSignal<readonly Attempt[] | undefined>(undefined);
  const failedOnly = useSignal(false);
  const error = useSignal<unknown>(undefined);
  const poll = async (signal: AbortSignal) => {
    try {
      attempts.value = (await call<{ attempts?: Attempt[] }>(`${service}/ListWebhookAttempts`, { name, failedOnly: failedOnly.value }, signal)).attempts ?? [];
      error.value = undefined;
    } catch (failure) {
      if (!signal.aborted) {
        error.value = failure;
      }
    }
  };
  usePolling(poll, pollMs, [name, failedOnly.value]);
  return (
    <div class="attempts">
      <header class="section-head">
        <h3>Attempts</h3>
        <span class="spacer" />
        <label class="check">
          <input type="checkbox" checked={failedOnly.value} onChange={(event) => (failedOnly.value = event.currentTarget.checked)} />
          failed ones only
        </label>
      </header>
      {error.value !== undefined && <ErrorNote error={error.value} />}
      {attempts.value?.length === 0 && <p class="muted">None yet. Test the webhook, or send a message.</p>}
      {attempts.value !== undefined && attempts.value.length > 0 && (
        <div class="scroll" tabIndex={0} role="region" aria-label={`Attempts of ${name}`}>
          <table class="table">
            <thead>
              <tr>
                <th>When</th>
                <th>Result</th>
                <th>Event</th>
                <th class="number">Attempt</th>
                <th class="number">Took</th>
              </tr>
            </thead>
            <tbody>
              {attempts.value.slice(0, 20).map((attempt, i) => (
                <tr key={`${attempt.startedAt} ${i}`}>
                  <td title={fullText(new Date(attempt.startedAt))}>{agoText(new Date(attempt.startedAt))}</td>
                  <td>
                    <Badge tone={attempt.ok ? "good" : "bad"}>{attempt.status || (attempt.ok ? "ok" : "no answer")}</Badge> {attempt.error && <small class="muted">{attempt.error}</small>}
                  </td>
                  <td>{attempt.chatId ? <a href={hashOf("history", attempt.chatId, attempt.seq ?? 0)}>{attempt.chatId}, seq {attempt.seq}</a> : attempt.type}</td>
                  <td class="number">{attempt.attempt ?? 1}</td>
                  <td class="number">{durationText(seconds(attempt.took))}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </div>
  );
}

function CreateWebhook({ onClose, onCreated }: { onClose: () => void; onCreated: (secret: Secret) => void }) {
  const name = useSignal("");
  const url = useSignal("");
  const types = useSignal("");
  const task = useTask();
  const create = async () => {
    const eventTypes = types.value.split(/[\s,]+/).filter(Boolean);
    const request = { name: name.value.trim(), url: url.value.trim(), ...(eventTypes.length > 0 && { settings: { eventTypes } }) };
    const made = await call<{ secret: string }>(`${service}/CreateWebhook`, request);
    onCreated({ name: request.name, secret: made.secret });
  };
  return (
    <Dialog title="Create a webhook" onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          task.run(create, onClose);
        }}
      >
        <Field label="Name" hint="It names the group too.">
          <input required maxLength={128} pattern="\S+" value={name.value} onInput={(event) => (name.value = event.currentTarget.value)} />
        </Field>
        <Field label="URL" hint="https, at a public address, unless webhooks.allow names it.">
          <input required type="url" maxLength={2048} placeholder="https://example.com/hooks/chat" value={url.value} onInput={(event) => (url.value = event.currentTarget.value)} />
        </Field>
        <Field label="Event types" hint="With commas, such as message:new, message:edit. Empty: all.">
          <input value={types.value} onInput={(event) => (types.value = event.currentTarget.value)} />
        </Field>
        {task.error.value !== undefined && <ErrorNote error={task.error.value} />}
        {codeOf(task.error.value) === "failed_precondition" && (
          <p class="muted">
            A key: <code>openssl rand -base64 32</code>, in <code>webhooks.keys</code> (<code>CHATCORE_WEBHOOKS_KEYS</code>) of each instance.
          </p>
        )}
        <footer>
          <Button onClick={onClose}>Cancel</Button>
          <Button type="submit" kind="primary" disabled={task.busy.value || name.value.trim() === "" || url.value.trim() === ""}>
            Create
          </Button>
        </footer>
      </form>
    </Dialog>
  );
}

function SecretDialog({ secret, onClose }: { secret: Secret; onClose: () => void }) {
  return (
    <Dialog title={`Secret of ${secret.name}`} onClose={onClose}>
      <p>It is shown this once. The receiver verifies signatures with it.</p>
      <p class="secret">
        <code>{secret.secret}</code>
        <CopyButton text={secret.secret} label="Copy the secret" />
      </p>
      <footer>
        <Button kind="primary" data-autofocus onClick={onClose}>
          I have kept it
        </Button>
      </footer>
    </Dialog>
  );
}
