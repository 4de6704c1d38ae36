const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const clockSeconds = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const dayFormat = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
const shortDay = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium", hourCycle: "h23" });
const numbers = new Intl.NumberFormat();

export const timeText = (date: Date): string => clock.format(date);
export const secondsText = (date: Date): string => clockSeconds.format(date);
export const fullText = (date: Date): string => full.format(date);
export const countText = (n: number): string => numbers.format(n);

const dayOf = (date: Date): number => Math.floor((date.getTime() - date.getTimezoneOffset() * 60_000) / 86_400_000);

/** dayText names the day of a date: Today, Yesterday, or the day. */
export function dayText(date: Date): string {
  switch (dayOf(new Date()) - dayOf(date)) {
    case 0:
      return "Today";
    case 1:
      return "Yesterday";
  }
  return dayFormat.format(date);
}

/** whenText is the time of a date of today, and the day of another one. */
export const whenText = (date: Date): string => (dayOf(date) === dayOf(new Date()) ? timeText(date) : shortDay.format(date));

/** durationText returns a duration in its largest two units. */
export function durationText(ms: number): string {
  if (ms < 1000) {
    return `${Math.round(ms * 100) / 100} ms`;
  }
  const units: [string, number][] = [["d", 86_400], ["h", 3600], ["min", 60], ["s", 1]];
  let seconds = Math.round(ms / 1000);
  const parts: string[] = [];
  for (const [unit, size] of units) {
    const n = Math.floor(seconds / size);
    if (n > 0) {
      parts.push(`${n} ${unit}`);
      seconds -= n * size;
    }
    if (parts.length === 2) {
      break;
    }
  }
  return parts.join(" ");
}

/** agoText returns how long ago a date was. */
export const agoText = (date: Date): string => {
  const ms = Date.now() - date.getTime();
  return ms < 5_000 ? "just now" : `${durationText(ms).split(" ").slice(0, 2).join(" ")} ago`;
};

/** bytesText returns a number of bytes. */
export function bytesText(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  while (bytes >= 1024 && i < units.length - 1) {
    bytes /= 1024;
    i++;
  }
  return `${i === 0 ? bytes : bytes.toFixed(1)} ${units[i]}`;
}

/** plural returns a count with its noun. */
export const plural = (n: number, one: string, many = one + "s"): string => `${countText(n)} ${n === 1 ? one : many}`;
