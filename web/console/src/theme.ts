import { effect, signal } from "@preact/signals";

export type Theme = "system" | "light" | "dark";

const key = "chatcore.theme";

function stored(): Theme {
  try {
    const value = localStorage.getItem(key);
    return value === "light" || value === "dark" ? value : "system";
  } catch {
    return "system"; // a browser that keeps nothing
  }
}

export const theme = signal<Theme>(stored());

effect(() => {
  document.documentElement.dataset.theme = theme.value;
  try {
    localStorage.setItem(key, theme.value);
  } catch {
    // the choice lasts as long as the page
  }
});

const dark = matchMedia("(prefers-color-scheme: dark)");
const systemDark = signal(dark.matches);
dark.addEventListener("change", () => (systemDark.value = dark.matches));

/** isDark reports whether the page is dark now. */
export const isDark = (): boolean => (theme.value === "system" ? systemDark.value : theme.value === "dark");
