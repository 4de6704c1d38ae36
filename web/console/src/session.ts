import { computed, signal } from "@preact/signals";
import { createClient } from "@chatcore/client";

/** Session is the caller of the console, as /console/session describes it. */
export interface Session {
  /** Whether the server needs no sign-in: it is in local mode. */
  local: boolean;
  /** "" for a browser that is not signed in. */
  kind: "" | "service" | "user";
  id: string;
  scopes: string[];
  expires?: string;
}

/** session is the caller, undefined until the server has said who it is. */
export const session = signal<Session | undefined>(undefined);
/** sessionError is why the caller is not known. */
export const sessionError = signal<unknown>(undefined);
/** isService reports whether the caller names the users that it acts as. */
export const isService = computed(() => session.value?.kind === "service");

/** can reports whether the caller has a scope. */
export const can = (scope: string): boolean => session.value?.scopes.includes(scope) ?? false;

/** client makes all calls. The browser adds the cookie of the sign-in by itself. */
export const client = createClient({ url: location.origin });

const path = "/console/session";

export async function loadSession(): Promise<void> {
  try {
    const response = await fetch(path);
    if (!response.ok) {
      throw await problemOf(response);
    }
    session.value = (await response.json()) as Session;
    sessionError.value = undefined;
  } catch (error) {
    sessionError.value = error;
  }
}

export async function signIn(token: string): Promise<void> {
  const response = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ token }) });
  if (!response.ok) {
    throw await problemOf(response);
  }
  location.reload(); // nothing of an earlier caller stays
}

export async function signOut(): Promise<void> {
  const response = await fetch(path, { method: "DELETE" });
  if (!response.ok) {
    throw await problemOf(response);
  }
  location.reload();
}

/** Problem is an error of the API in JSON. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}

/** problemOf reads the error of a response. */
export async function problemOf(response: Response): Promise<Problem> {
  const text = await response.text();
  try {
    const { code, message } = JSON.parse(text) as { code: string; message: string };
    return new Problem(response.status, code, message);
  } catch {
    return new Problem(response.status, String(response.status), text.trim() || response.statusText);
  }
}

/** call calls a method with JSON, for methods that the client does not have. */
export async function call<T>(method: string, request: object = {}, signal?: AbortSignal): Promise<T> {
  let response: Response;
  try {
    response = await fetch("/" + method, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(request), signal: signal ?? null });
  } catch (error) {
    if (signal?.aborted) {
      throw error;
    }
    throw new Problem(0, "unavailable", "The server does not answer.");
  }
  if (!response.ok) {
    const problem = await problemOf(response);
    if (problem.code === "unauthenticated") {
      void loadSession();
    }
    throw problem;
  }
  return (await response.json()) as T;
}
