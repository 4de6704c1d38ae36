import { useSignal } from "@preact/signals";
import type { ComponentChildren, JSX } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";
import { ChatcoreError } from "@chatcore/client";
import { Icon, type IconName } from "./icons";
import { Problem, loadSession } from "./session";

/** hueOf returns one of eight hues for an id, the same each time. */
export function hueOf(id: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < id.length; i++) {
    hash = Math.imul(hash ^ id.charCodeAt(i), 0x01000193) >>> 0;
  }
  hash ^= hash >>> 15;
  return (hash >>> 0) % 8;
}

/** Avatar shows the first letters of an id in its color; with a status, a dot. */
export function Avatar({ id, size = "m", status }: { id: string; size?: "xs" | "s" | "m" | "l"; status?: string | undefined }) {
  const letters = Array.from(id.replace(/[^\p{L}\p{N}]+/gu, " ").trim() || "?");
  const words = letters.join("").split(" ");
  const text = words.length > 1 && size !== "xs" ? words[0]!.charAt(0) + words[1]!.charAt(0) : letters[0]!;
  return (
    <span class={`avatar avatar-${size} hue-${hueOf(id)}`} aria-hidden="true">
      {text.toUpperCase()}
      {status && status !== "unspecified" && <i class={`dot dot-${status}`} />}
    </span>
  );
}

type ButtonProps = Omit<JSX.IntrinsicElements["button"], "icon" | "ref"> & {
  icon?: IconName | undefined;
  kind?: "primary" | "danger" | "plain" | "quiet";
  small?: boolean;
  label?: string; // of a button that has only an icon
  children?: ComponentChildren;
};

export function Button({ icon, kind = "plain", small, label, children, class: extra, ...rest }: ButtonProps) {
  const name = ["button", `button-${kind}`, small && "button-small", children === undefined && "button-icon", extra].filter(Boolean).join(" ");
  return (
    <button type="button" class={name} aria-label={label} title={label} {...rest}>
      {icon && <Icon name={icon} size={small ? 16 : 18} />}
      {children !== undefined && <span>{children}</span>}
    </button>
  );
}

/** errorText returns the text of an error, with the action that helps. */
export function errorText(error: unknown): string {
  if (error instanceof ChatcoreError || error instanceof Problem) {
    switch (error.code) {
      case "unavailable":
        return "The server or its Redis does not answer. It is tried again.";
      case "unauthenticated":
        return "The sign-in has ended. Sign in again.";
    }
    return error.message.replace(/^\[[a-z_]+\] /, "");
  }
  if (error instanceof TypeError) {
    return "The server does not answer. Check that it runs, then try again.";
  }
  return error instanceof Error ? error.message : String(error);
}

/** codeOf returns the code of an error of the API, or "". */
export const codeOf = (error: unknown): string => (error instanceof ChatcoreError || error instanceof Problem ? error.code : "");

export function ErrorNote({ error, onRetry, onClose }: { error: unknown; onRetry?: (() => void) | undefined; onClose?: (() => void) | undefined }) {
  const code = codeOf(error);
  const denied = code === "permission_denied";
  useEffect(() => {
    if (code === "unauthenticated") {
      void loadSession(); // which leads to the sign-in
    }
  }, [code]);
  return (
    <div class={`note ${denied ? "note-info" : "note-error"}`} role="alert">
      <Icon name={denied ? "key" : "warn"} />
      <p>{denied ? `You may not do this: ${errorText(error)}.` : errorText(error)}</p>
      {onRetry && (
        <Button small onClick={onRetry}>
          Try again
        </Button>
      )}
      {onClose && <Button small kind="quiet" icon="close" label="Dismiss" onClick={onClose} />}
    </div>
  );
}

export function Empty({ icon, title, children }: { icon: IconName; title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <span class="empty-icon">
        <Icon name={icon} size={26} />
      </span>
      <h3>{title}</h3>
      {children !== undefined && <div class="empty-text">{children}</div>}
    </div>
  );
}

export function Loading({ what }: { what: string }) {
  return (
    <div class="loading" role="status">
      <span class="spinner" aria-hidden="true" />
      Loading {what}…
    </div>
  );
}

/** Dialog is a modal dialog while it is rendered. Escape, the button and a click beside it close it. */
export function Dialog({ title, onClose, children, wide }: { title: string; onClose: () => void; children: ComponentChildren; wide?: boolean }) {
  const ref = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const dialog = ref.current!;
    dialog.showModal();
    dialog.querySelector<HTMLElement>("[data-autofocus], input, textarea, select")?.focus();
    return () => dialog.close();
  }, []);
  return (
    <dialog
      ref={ref}
      class={wide ? "dialog dialog-wide" : "dialog"}
      aria-labelledby={id}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
      onMouseDown={(event) => event.target === ref.current && onClose()}
    >
      <div class="dialog-body">
        <header>
          <h2 id={id}>{title}</h2>
          <Button kind="quiet" icon="close" label="Close" onClick={onClose} />
        </header>
        {children}
      </div>
    </dialog>
  );
}

/** Confirm asks before something that cannot be undone, and shows why it failed. */
export function Confirm({ title, text, action, onConfirm, onClose }: { title: string; text: ComponentChildren; action: string; onConfirm: () => Promise<unknown>; onClose: () => void }) {
  const task = useTask();
  return (
    <Dialog title={title} onClose={onClose}>
      <p>{text}</p>
      {task.error.value !== undefined && <ErrorNote error={task.error.value} />}
      <footer>
        <Button onClick={onClose}>Cancel</Button>
        <Button kind="danger" data-autofocus disabled={task.busy.value} onClick={() => task.run(onConfirm, onClose)}>
          {action}
        </Button>
      </footer>
    </Dialog>
  );
}

/** useTask runs one action at a time, and keeps its error. */
export function useTask() {
  const busy = useSignal(false);
  const error = useSignal<unknown>(undefined);
  const run = (action: () => Promise<unknown>, done?: () => void): void => {
    if (busy.value) {
      return;
    }
    busy.value = true;
    error.value = undefined;
    action().then(
      () => {
        busy.value = false;
        done?.();
      },
      (failure: unknown) => {
        busy.value = false;
        error.value = failure;
      },
    );
  };
  return { busy, error, run };
}

export function Field({ label, hint, children }: { label: string; hint?: ComponentChildren; children: ComponentChildren }) {
  return (
    <label class="field">
      <span class="field-label">{label}</span>
      {children}
      {hint !== undefined && <span class="field-hint">{hint}</span>}
    </label>
  );
}

/** Json shows a value as indented JSON. */
export function Json({ value, label }: { value: unknown; label: string }) {
  const text = typeof value === "string" ? value : JSON.stringify(value, (_, v: unknown) => (typeof v === "bigint" ? Number(v) : v), 2);
  const parts = text.split(/("(?:[^"\\]|\\.)*"(?:\s*:)?|\b(?:true|false|null)\b|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)/);
  return (
    <pre class="json" tabIndex={0} aria-label={label}>
      {parts.map((part, i) => {
        if (i % 2 === 0) {
          return part;
        }
        const kind = part.startsWith('"') ? (part.endsWith(":") ? "key" : "string") : /^[tfn]/.test(part) ? "word" : "number";
        return (
          <span key={i} class={`json-${kind}`}>
            {part}
          </span>
        );
      })}
    </pre>
  );
}

export function CopyButton({ text, label }: { text: string; label: string }) {
  const copied = useSignal(false);
  return (
    <Button
      small
      kind="quiet"
      icon={copied.value ? "check" : "copy"}
      label={copied.value ? "Copied" : label}
      onClick={() => {
        void navigator.clipboard?.writeText(text).then(() => {
          copied.value = true;
          setTimeout(() => (copied.value = false), 1500);
        });
      }}
    />
  );
}

/** usePolling calls a function now and every so often, while the page is shown. */
export function usePolling(poll: (signal: AbortSignal) => Promise<void>, everyMs: number, deps: readonly unknown[] = []): void {
  useEffect(() => {
    const end = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const next = async () => {
      if (!document.hidden) {
        await poll(end.signal).catch(() => undefined); // poll keeps its errors itself
      }
      if (!end.signal.aborted) {
        timer = setTimeout(() => void next(), everyMs);
      }
    };
    void next();
    return () => {
      end.abort();
      clearTimeout(timer);
    };
  }, deps);
}

/** PageHead is the head of a page. */
export function PageHead({ title, text, children }: { title: string; text?: ComponentChildren; children?: ComponentChildren }) {
  return (
    <header class="page-head">
      <div>
        <h1>{title}</h1>
        {text !== undefined && <p>{text}</p>}
      </div>
      {children !== undefined && <div class="page-actions">{children}</div>}
    </header>
  );
}

export function Badge({ tone = "neutral", children }: { tone?: "neutral" | "good" | "warn" | "bad" | "accent"; children: ComponentChildren }) {
  return <span class={`badge badge-${tone}`}>{children}</span>;
}
