import { useSignal } from "@preact/signals";
import mark from "./mark.svg";
import { signIn } from "./session";
import { Button, ErrorNote, Field, codeOf, useTask } from "./ui";

/** SignIn asks for a token. */
export function SignIn() {
  const token = useSignal("");
  const task = useTask();
  const wrong = codeOf(task.error.value) === "unauthenticated";
  return (
    <main class="center">
      <form
        class="card sign-in"
        onSubmit={(event) => {
          event.preventDefault();
          task.run(() => signIn(token.value.trim()));
        }}
      >
        <img src={mark} alt="" width="48" height="48" />
        <h1>Sign in to chatcore</h1>
        <p class="muted">With the token of a service, of a session, or a JWT. What it may do by the API, it may do here.</p>
        <Field
          label="Token"
          hint={
            <>
              A new one: <code>core token create console --scope chats:read --scope admin --file tokens.json</code>
            </>
          }
        >
          <input type="password" autocomplete="off" spellcheck={false} required value={token.value} onInput={(event) => (token.value = event.currentTarget.value)} />
        </Field>
        {task.error.value !== undefined &&
          (wrong ? (
            <div class="note note-error" role="alert">
              <p>This token is not valid. Check that it is whole, and that it has not expired or been revoked.</p>
            </div>
          ) : (
            <ErrorNote error={task.error.value} />
          ))}
        <Button type="submit" kind="primary" disabled={task.busy.value || token.value.trim() === ""}>
          Sign in
        </Button>
      </form>
    </main>
  );
}
