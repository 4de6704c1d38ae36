import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import type { Session } from "@chatcore/client";
import { agoText, fullText, plural } from "./format";
import { Icon } from "./icons";
import { go, route } from "./router";
import { client, isService, session } from "./session";
import { Avatar, Badge, Button, Confirm, CopyButton, Dialog, Empty, ErrorNote, Loading, PageHead, codeOf, useTask } from "./ui";
import { loadUsers, users, usersLoaded } from "./users";

/** SessionsPage lists the logins of a user, and closes them. */
export function SessionsPage() {
  const user = isService.value ? (route.value[1] ?? "") : session.value!.id;
  const typed = useSignal(user);
  const sessions = useSignal<readonly Session[] | undefined>(undefined);
  const asking = useSignal<Session | "all" | undefined>(undefined);
  const token = useSignal("");
  const loading = useTask();
  const opening = useTask();
  const request = isService.value ? { userId: user } : {};
  const load = () => loading.run(async () => (sessions.value = await client.sessions.list(request)));
  useEffect(() => {
    typed.value = user;
    sessions.value = undefined;
    if (user !== "") {
      load();
    }
  }, [user]);
  useEffect(() => {
    if (!usersLoaded.value) {
      loadUsers().catch(() => undefined); // only for the suggestions
    }
  }, []);
  return (
    <div class="sessions">
      <PageHead title="Sessions" text="A session is one login of a user. Its token authenticates the user to the API until it is closed, expires, or is not used for too long." />
      {isService.value && (
        <form
          class="inline-form finder"
          onSubmit={(event) => {
            event.preventDefault();
            go(["sessions", typed.value.trim()]);
          }}
        >
          <label class="field">
            <span class="field-label">User</span>
            <input required list="session-users" placeholder="Id of a user" value={typed.value} onInput={(event) => (typed.value = event.currentTarget.value)} />
          </label>
          <datalist id="session-users">
            {users.value.map((id) => (
              <option key={id} value={id} />
            ))}
          </datalist>
          <Button type="submit" kind="primary">
            Show
          </Button>
        </form>
      )}
      {user === "" && (
        <div class="card">
          <Empty icon="sessions" title="Whose sessions?">
            {users.value.length > 0 ? (
              <span class="suggestions">
                {users.value.slice(0, 12).map((id) => (
                  <Button key={id} small onClick={() => go(["sessions", id])}>
                    {id}
                  </Button>
                ))}
              </span>
            ) : (
              "Give the id of a user."
            )}
          </Empty>
        </div>
      )}
      {loading.error.value !== undefined && (
        <>
          <ErrorNote error={loading.error.value} onRetry={load} />
          {codeOf(loading.error.value) === "permission_denied" && <p class="muted">Sessions of users are for services with the scope sessions.</p>}
        </>
      )}
      {user !== "" && sessions.value === undefined && loading.error.value === undefined && <Loading what="sessions" />}
      {sessions.value !== undefined && (
        <>
          <header class="section-head">
            <Avatar id={user} size="s" />
            <h2>{user}</h2>
            <span class="muted">{plural(sessions.value.length, "session")}</span>
            <span class="spacer" />
            {isService.value && (
              <Button
                small
                icon="plus"
                disabled={opening.busy.value}
                onClick={() =>
                  opening.run(async () => {
                    const device = { id: "console", name: "Console", userAgent: navigator.userAgent.slice(0, 512) };
                    token.value = (await client.sessions.open({ userId: user, device })).token;
                    load();
                  })
                }
              >
                Open one
              </Button>
            )}
            {sessions.value.length > 0 && (
              <Button small icon="close" onClick={() => (asking.value = "all")}>
                Close all
              </Button>
            )}
          </header>
          {opening.error.value !== undefined && <ErrorNote error={opening.error.value} onClose={() => (opening.error.value = undefined)} />}
          {sessions.value.length === 0 ? (
            <div class="card">
              <Empty icon="sessions" title={`${user} is not logged in`}>
                A service opens a session for a user that it has authenticated, with <code>OpenSession</code>.
              </Empty>
            </div>
          ) : (
            <ul class="session-list">
              {sessions.value.map((item) => (
                <li key={item.id} class="card session">
                  <span class="session-icon">
                    <Icon name="key" />
                  </span>
                  <div>
                    <p>
                      <b>{item.device?.name || item.device?.id || "unknown device"}</b>
                      {item.id === "" && <Badge>of another program</Badge>}
                    </p>
                    <p class="muted">
                      {[item.device?.ip, item.device?.userAgent].filter(Boolean).join(" · ") || "no address and no user agent"}
                    </p>
                    <p class="muted">
                      {item.openedAt && `opened ${agoText(item.openedAt)}`}
                      {item.seenAt && ` · used ${agoText(item.seenAt)}`}
                      {item.expiresAt && ` · ends ${fullText(item.expiresAt)} unless it is used`}
                    </p>
                  </div>
                  <Button small icon="close" onClick={() => (asking.value = item)}>
                    Close
                  </Button>
                </li>
              ))}
            </ul>
          )}
        </>
      )}
      {asking.value !== undefined && (
        <Confirm
          title={asking.value === "all" ? `Close all sessions of ${user}?` : "Close this session?"}
          text="Its token opens nothing from then on, and its feeds end within a second."
          action="Close"
          onClose={() => (asking.value = undefined)}
          onConfirm={async () => {
            await (asking.value === "all" ? client.sessions.closeAll(request) : client.sessions.close({ ...request, sessionId: (asking.value as Session).id }));
            load();
          }}
        />
      )}
      {token.value !== "" && (
        <Dialog title={`Session of ${user}`} onClose={() => (token.value = "")}>
          <p>Its token is shown this once. It authenticates {user} to the API.</p>
          <p class="secret">
            <code>{token.value}</code>
            <CopyButton text={token.value} label="Copy the token" />
          </p>
          <footer>
            <Button kind="primary" data-autofocus onClick={() => (token.value = "")}>
              Done
            </Button>
          </footer>
        </Dialog>
      )}
    </div>
  );
}
