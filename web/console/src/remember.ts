/** recall returns a text that the tab has kept, or a default. */
export function recall(key: string, otherwise: string): string {
  try {
    return sessionStorage.getItem("chatcore." + key) ?? otherwise;
  } catch {
    return otherwise;
  }
}

/** remember keeps a text for as long as the tab lives. */
export function remember(key: string, value: string): void {
  try {
    sessionStorage.setItem("chatcore." + key, value);
  } catch {
    // a browser that keeps nothing
  }
}
