import { signal } from "@preact/signals";
import { client, isService, session } from "./session";

const chatsRead = 24;

/** users are the ids of the users that the console knows: members of chats. */
export const users = signal<readonly string[]>([]);
/** usersLoaded says whether they were looked for. */
export const usersLoaded = signal(false);

/** know adds users to those that are known. */
export function know(...ids: string[]): void {
  const added = ids.filter((id) => id !== "" && !users.value.includes(id));
  if (added.length > 0) {
    users.value = [...users.value, ...new Set(added)].sort();
  }
}

/** loadUsers finds the members of the first chats. */
export async function loadUsers(): Promise<void> {
  try {
    if (!isService.value) {
      know(session.value!.id);
      const { items } = await client.chats.listContacts({ pageSize: 50 }).page();
      know(...items.map(({ userId }) => userId));
      return;
    }
    const { items } = await client.chats.listIds({ pageSize: chatsRead }).page();
    const pages = await Promise.all(items.map((chatId) => client.chats.listMembers({ chatId, pageSize: 50 }).page()));
    know(...pages.flatMap((page) => page.items.map(({ userId }) => userId)));
  } finally {
    usersLoaded.value = true;
  }
}
