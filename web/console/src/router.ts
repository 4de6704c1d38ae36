import { computed, signal } from "@preact/signals";

/** pages are the pages of the console, by the first part of the hash of the address. */
export const pages = ["chat", "history", "groups", "webhooks", "sessions", "health", "api"] as const;
export type PageName = (typeof pages)[number];

const read = (): string[] =>
  location.hash
    .replace(/^#\/?/, "")
    .split("/")
    .map((part) => {
      try {
        return decodeURIComponent(part);
      } catch {
        return part;
      }
    });

/** route has the parts of the hash: #/history/hike/37 is ["history", "hike", "37"]. */
export const route = signal<string[]>(read());

export const page = computed<PageName>(() => {
  const name = route.value[0] as PageName;
  return pages.includes(name) ? name : "chat";
});

window.addEventListener("hashchange", () => (route.value = read()));

/** hashOf returns the address of a page. */
export const hashOf = (...parts: (string | number)[]): string => "#/" + parts.map((part) => encodeURIComponent(part)).join("/");

/** go moves to a page; with replace without an entry in the browser's history. */
export function go(parts: (string | number)[], replace = false): void {
  const hash = hashOf(...parts);
  if (replace) {
    history.replaceState(null, "", hash);
    route.value = read();
  } else if (location.hash !== hash) {
    location.hash = hash;
  }
}
