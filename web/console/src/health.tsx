import { useSignal } from "@preact/signals";
import { bytesText, durationText, fullText } from "./format";
import { Icon } from "./icons";
import { client } from "./session";
import { Badge, CopyButton, Empty, ErrorNote, Loading, PageHead, codeOf, usePolling } from "./ui";

type State = Awaited<ReturnType<typeof client.admin.health.get>>;
type Finding = Awaited<ReturnType<typeof client.admin.health.listFindings>>[number];
type Server = State["logServers"][number];

const pollMs = 5_000;
const tones = { danger: "bad", warning: "warn", note: "neutral", unspecified: "neutral" } as const;

/** HealthPage is the health of the server and of its Redis, and what is dangerous or noteworthy. */
export function HealthPage() {
  const health = useSignal<State | undefined>(undefined);
  const findings = useSignal<readonly Finding[] | undefined>(undefined);
  const error = useSignal<unknown>(undefined);
  const load = async (signal?: AbortSignal) => {
    try {
      const options = signal ? { signal, timeoutMs: 10_000 } : {};
      health.value = await client.admin.health.get({}, options);
      error.value = undefined;
      findings.value = await client.admin.health.listFindings({}, options).catch((failure: unknown) => {
        if (codeOf(failure) === "unimplemented") {
          return [];
        }
        throw failure;
      });
    } catch (failure) {
      if (!signal?.aborted) {
        error.value = failure;
      }
    }
  };
  usePolling(load, pollMs);
  const state = health.value;
  return (
    <div class="health">
      <PageHead title="Health" text="Of the server that answers, and of its Redis." />
      {error.value !== undefined && (
        <>
          <ErrorNote error={error.value} onRetry={() => void load()} />
          {codeOf(error.value) === "permission_denied" && <p class="muted">Health and findings are for services with the scope admin.</p>}
        </>
      )}
      {state === undefined && error.value === undefined && <Loading what="the health" />}
      {state && (
        <>
          <div class={`card ready ${state.ready ? "ready-yes" : "ready-no"}`}>
            <span class="ready-icon">
              <Icon name={state.ready ? "check" : "warn"} size={26} />
            </span>
            <div>
              <h2>{state.ready ? "The log takes events" : "The log takes no events"}</h2>
              <p class="muted">{state.notReady || (state.at && `as of ${fullText(state.at)}`)}</p>
            </div>
            <dl class="facts">
              <dt>Version</dt>
              <dd>{state.version}</dd>
              <dt>Log</dt>
              <dd class="mono">{state.logId || "none yet"}</dd>
              <dt>Level</dt>
              <dd>{state.logLevel}</dd>
            </dl>
          </div>
          <Servers title="Redis of the log" servers={state.logServers} />
          {state.cacheServers.length > 0 && <Servers title="Redis of the caches" servers={state.cacheServers} />}
        </>
      )}
      {findings.value && <Findings findings={findings.value} />}
    </div>
  );
}

function Servers({ title, servers }: { title: string; servers: readonly Server[] }) {
  return (
    <section aria-label={title}>
      <header class="section-head">
        <h2>{title}</h2>
      </header>
      <div class="server-list">
        {servers.map((server) => {
          const share = server.memoryMax > 0 ? server.memoryUsed / server.memoryMax : 0;
          return (
            <div key={server.address} class="card server">
              <p class="server-head">
                <i class={`light ${server.error ? "light-bad" : "light-good"}`} aria-hidden="true" />
                <b class="mono">{server.address}</b>
                {server.replica && <Badge tone="warn">replica</Badge>}
                {server.cluster && <Badge>cluster</Badge>}
              </p>
              {server.error ? (
                <p class="server-error">{server.error}</p>
              ) : (
                <dl class="facts">
                  <dt>Version</dt>
                  <dd>{server.version || "unknown"}</dd>
                  <dt>Latency</dt>
                  <dd>{server.latency === undefined ? "–" : durationText(server.latency)}</dd>
                  <dt>Memory</dt>
                  <dd>
                    {server.memoryUsed > 0 ? bytesText(server.memoryUsed) : "unknown"}
                    {server.memoryMax > 0 && ` of ${bytesText(server.memoryMax)}`}
                    {share > 0 && <progress value={share} max={1} aria-label="Memory in use" />}
                  </dd>
                </dl>
              )}
            </div>
          );
        })}
      </div>
    </section>
  );
}

function Findings({ findings }: { findings: readonly Finding[] }) {
  return (
    <section aria-label="Findings">
      <header class="section-head">
        <h2>Findings</h2>
        <span class="muted">{findings.length > 0 && "the worst first"}</span>
      </header>
      {findings.length === 0 ? (
        <div class="card">
          <Empty icon="check" title="Nothing to report">
            Dangers, warnings and notes about the configuration of Redis and about groups appear here, each with a remedy.
          </Empty>
        </div>
      ) : (
        <ul class="finding-list">
          {findings.map(({ severity, code, server, what, why, remedy }) => (
            <li key={`${code} ${server} ${what}`} class={`card finding finding-${severity}`}>
              <p class="finding-head">
                <Badge tone={tones[severity]}>{severity}</Badge>
                <code>{code}</code>
                {server && <span class="muted mono">{server}</span>}
              </p>
              <h3>{what}</h3>
              <p class="muted">{why}</p>
              {remedy && (
                <p class="remedy">
                  <b>Remedy</b>
                  <code>{remedy}</code>
                  <CopyButton text={remedy} label="Copy the remedy" />
                </p>
              )}
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}
