import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { durationText } from "../format";
import { go, hashOf, route } from "../router";
import { session } from "../session";
import { Badge, Button, CopyButton, Empty, Json, PageHead } from "../ui";
import { allowedOf, emptyValue, exampleOf, isRead, isStream, pathOf, services, typeOf, type DescMethod } from "./schema";

interface Answer {
  status: number;
  text: string;
  ms: number;
  body: unknown;
}

const methods = services.flatMap(({ methods }) => methods);
const lead = methods.find(({ name }) => name === "ListMessages")!;

/** ExplorerPage calls every method of the API. */
export function ExplorerPage() {
  const search = useSignal("");
  const method = methods.find((candidate) => pathOf(candidate) === `${route.value[1]}/${route.value[2]}`) ?? lead;
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const matches = ({ name, parent }: DescMethod) => words.every((word) => `${parent.name} ${name}`.toLowerCase().includes(word));
  const found = services.map((service) => ({ service, methods: service.methods.filter(matches) })).filter(({ methods }) => methods.length > 0);
  return (
    <div class="explorer">
      <PageHead title="API" text={`All ${methods.length} methods of this server. What is sent here, curl sends too.`} />
      <div class="explorer-body">
        <nav class="card method-list" aria-label="Methods">
          <input type="search" aria-label="Find a method" placeholder="Find a method" value={search.value} onInput={(event) => (search.value = event.currentTarget.value)} />
          <select class="method-select" aria-label="Method" value={pathOf(method)} onChange={(event) => go(["api", ...event.currentTarget.value.split("/")])}>
            {services.map((service) => (
              <optgroup key={service.typeName} label={service.name}>
                {service.methods.map((item) => (
                  <option key={item.name} value={pathOf(item)}>
                    {item.name}
                  </option>
                ))}
              </optgroup>
            ))}
          </select>
          <div class="method-groups">
            {found.map(({ service, methods }) => (
              <section key={service.typeName}>
                <h2>{service.name.replace(/Service$/, "")}</h2>
                <ul>
                  {methods.map((item) => (
                    <li key={item.name}>
                      <a href={hashOf("api", service.typeName, item.name)} aria-current={item === method ? "page" : undefined}>
                        {item.name}
                      </a>
                    </li>
                  ))}
                </ul>
              </section>
            ))}
            {found.length === 0 && <p class="muted">No method has these words in its name.</p>}
          </div>
        </nav>
        <MethodView key={pathOf(method)} method={method} />
      </div>
    </div>
  );
}

const pretty = (value: unknown): string => JSON.stringify(value, null, 2);

/** quoted returns a text in single quotes for a shell. */
const quoted = (text: string): string => `'${text.replace(/'/g, `'\\''`)}'`;

function curlOf(method: DescMethod, body: string): string {
  const token = session.value?.local ? "" : ` \\\n  -H "Authorization: Bearer $TOKEN"`;
  if (method.name === "Watch") {
    return `curl -N ${quoted(`${location.origin}/v1/feed?chat=hike:0`)}${token}`;
  }
  let compact = body;
  try {
    compact = JSON.stringify(JSON.parse(body));
  } catch {
    // it is sent as it is, and refused
  }
  return `curl ${location.origin}/${pathOf(method)}${token} \\\n  --json ${quoted(compact)}`;
}

function MethodView({ method }: { method: DescMethod }) {
  const body = useSignal(pretty(exampleOf(method)));
  const answer = useSignal<Answer | undefined>(undefined);
  const busy = useSignal(false);
  const problem = useSignal("");
  const stream = isStream(method);
  useEffect(() => {
    try {
      JSON.parse(body.value);
      problem.value = "";
    } catch (error) {
      problem.value = (error as Error).message;
    }
  }, [body.value]);

  const send = async () => {
    busy.value = true;
    const began = performance.now();
    try {
      const response = await fetch("/" + pathOf(method), { method: "POST", headers: { "Content-Type": "application/json" }, body: body.value });
      const text = await response.text();
      let parsed: unknown = text;
      try {
        parsed = JSON.parse(text);
      } catch {
        // shown as text
      }
      answer.value = { status: response.status, text: response.statusText, ms: performance.now() - began, body: parsed };
    } catch {
      answer.value = { status: 0, text: "no answer", ms: performance.now() - began, body: "The server does not answer. Check that it runs, then send again." };
    } finally {
      busy.value = false;
    }
  };
  const add = (name: string, value: unknown) => {
    try {
      body.value = pretty({ ...(JSON.parse(body.value) as object), [name]: value });
    } catch {
      // the JSON is damaged: the note says so
    }
  };
  const curl = curlOf(method, body.value);
  return (
    <section class="method" aria-label={method.name}>
      <div class="card method-card">
        <header class="section-head">
          <h2>{method.name}</h2>
          <Badge tone={isRead(method) ? "good" : "accent"}>{isRead(method) ? "reads" : "acts"}</Badge>
          {stream && <Badge tone="warn">streams</Badge>}
          <code class="method-path muted">/{pathOf(method)}</code>
        </header>
        <div class="method-request">
          <div class="method-editor">
            <label class="field">
              <span class="field-label">Request</span>
              <textarea
                class="mono"
                spellcheck={false}
                rows={Math.min(18, Math.max(7, body.value.split("\n").length + 1))}
                value={body.value}
                aria-invalid={problem.value !== ""}
                onInput={(event) => (body.value = event.currentTarget.value)}
                onKeyDown={(event) => {
                  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !stream) {
                    event.preventDefault();
                    void send();
                  }
                }}
              />
            </label>
            {problem.value !== "" && <p class="field-problem">This is no JSON: {problem.value}</p>}
            <div class="method-actions">
              {stream ? (
                <p class="muted">This method streams: use the line below, a client library or grpcurl.</p>
              ) : (
                <>
                  <Button kind="primary" icon="send" disabled={busy.value} onClick={() => void send()}>
                    Send
                  </Button>
                  <small class="muted">or Ctrl+Enter</small>
                </>
              )}
              <span class="spacer" />
              <Button small kind="quiet" onClick={() => (body.value = pretty(exampleOf(method)))}>
                New example
              </Button>
            </div>
          </div>
          <div class="method-fields">
            <span class="field-label">Fields</span>
            {method.input.fields.length === 0 ? (
              <p class="muted">The request has none.</p>
            ) : (
              <ul>
                {method.input.fields.map((field) => (
                  <li key={field.name}>
                    <button type="button" title={`Add ${field.name} to the request`} onClick={() => add(field.name, emptyValue(field))}>
                      <code>{field.name}</code>
                      <small title={allowedOf(field)}>{typeOf(field)}</small>
                    </button>
                  </li>
                ))}
              </ul>
            )}
          </div>
        </div>
      </div>
      <div class="card method-card">
        <header class="section-head">
          <h3>curl</h3>
          <span class="spacer" />
          <CopyButton text={curl} label="Copy the curl line" />
        </header>
        <pre class="json" tabIndex={0} aria-label="curl line">
          {curl}
        </pre>
      </div>
      {!answer.value && !stream && (
        <div class="card">
          <Empty icon="send" title="No answer yet">
            Send the request. {isRead(method) ? "It changes nothing." : "It acts on this server."}
          </Empty>
        </div>
      )}
      {answer.value && (
        <div class="card method-card" aria-live="polite">
          <header class="section-head">
            <h3>Answer</h3>
            <Badge tone={answer.value.status >= 200 && answer.value.status < 300 ? "good" : "bad"}>
              {answer.value.status || ""} {answer.value.text}
            </Badge>
            <span class="muted">{durationText(Math.round(answer.value.ms))}</span>
            <span class="spacer" />
            <CopyButton text={typeof answer.value.body === "string" ? answer.value.body : pretty(answer.value.body)} label="Copy the answer" />
          </header>
          <Json label="Answer" value={answer.value.body} />
        </div>
      )}
    </section>
  );
}
