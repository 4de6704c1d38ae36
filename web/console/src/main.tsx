import "./styles/base.css";
import "./styles/controls.css";
import "./styles/chat.css";
import "./styles/history.css";
import "./styles/admin.css";
import { render } from "preact";
import { useEffect } from "preact/hooks";
import { ChatPage } from "./chat/page";
import { Icon, type IconName } from "./icons";
import { hashOf, page, type PageName } from "./router";
import { lazy } from "./lazy";
import { loadSession, session, sessionError, signOut } from "./session";
import { SignIn } from "./sign_in";
import { theme, type Theme } from "./theme";
import { Button, ErrorNote, Loading } from "./ui";
import mark from "./mark.svg";

const tabs: Record<PageName, { title: string; view: () => preact.JSX.Element }> = {
  chat: { title: "Chat", view: ChatPage },
  history: { title: "History", view: lazy(() => import("./history/page").then((page) => page.HistoryPage)) },
  groups: { title: "Groups", view: lazy(() => import("./groups/page").then((page) => page.GroupsPage)) },
  webhooks: { title: "Webhooks", view: lazy(() => import("./webhooks/page").then((page) => page.WebhooksPage)) },
  sessions: { title: "Sessions", view: lazy(() => import("./sessions").then((page) => page.SessionsPage)) },
  health: { title: "Health", view: lazy(() => import("./health").then((page) => page.HealthPage)) },
  api: { title: "API", view: lazy(() => import("./explorer/page").then((page) => page.ExplorerPage)) },
};

const themes: Record<Theme, { icon: IconName; label: string; next: Theme }> = {
  system: { icon: "auto", label: "Colors of the system; switch to light", next: "light" },
  light: { icon: "sun", label: "Light colors; switch to dark", next: "dark" },
  dark: { icon: "moon", label: "Dark colors; switch to those of the system", next: "system" },
};

function Who() {
  const { local, kind, id } = session.value!;
  if (local) {
    return (
      <span class="who" title="The server listens on loopback and has no tokens: programs of this machine need none">
        local mode
      </span>
    );
  }
  return (
    <>
      <span class="who">
        {kind} <b>{id}</b>
      </span>
      <Button kind="quiet" icon="out" label="Sign out" onClick={() => void signOut().catch(() => undefined)} />
    </>
  );
}

function Shell() {
  const { icon, label, next } = themes[theme.value];
  const { title, view: View } = tabs[page.value];
  useEffect(() => {
    document.title = `${title} · chatcore`;
  }, [title]);
  return (
    <div class="shell">
      <a class="skip" href="#main" onClick={(event) => (event.preventDefault(), document.getElementById("main")?.focus())}>
        Skip to the page
      </a>
      <header class="bar">
        <a class="brand" href={hashOf("chat")} aria-label="chatcore, to the chats">
          <img src={mark} alt="" width="28" height="28" />
          <span>chatcore</span>
        </a>
        <nav aria-label="Pages">
          {Object.entries(tabs).map(([name, tab]) => (
            <a key={name} href={hashOf(name)} aria-current={name === page.value ? "page" : undefined}>
              <Icon name={name as IconName} />
              <span>{tab.title}</span>
            </a>
          ))}
        </nav>
        <div class="bar-end">
          <Who />
          <Button kind="quiet" icon={icon} label={label} onClick={() => (theme.value = next)} />
        </div>
      </header>
      <main id="main" tabIndex={-1} class={`page page-${page.value}`}>
        <View key={page.value} />
      </main>
    </div>
  );
}

function App() {
  const current = session.value;
  if (current === undefined) {
    return (
      <div class="center">
        {sessionError.value === undefined ? <Loading what="the console" /> : <ErrorNote error={sessionError.value} onRetry={() => void loadSession()} />}
      </div>
    );
  }
  return current.kind === "" ? <SignIn /> : <Shell key={`${current.kind} ${current.id}`} />;
}

void loadSession();
render(<App />, document.getElementById("app")!);
