// Icons are drawn on 24 × 24, in strokes of the color of the text.
const paths = {
  chat: "M4 6.5A2.5 2.5 0 0 1 6.5 4h11A2.5 2.5 0 0 1 20 6.5v7a2.5 2.5 0 0 1-2.5 2.5H11l-5 4v-4.1A2.5 2.5 0 0 1 4 13.5zM8 8.5h8M8 12h5",
  history: "M3.5 12a8.5 8.5 0 1 0 2.6-6.1L3.5 8.4M3.5 4v4.4h4.4M12 7.5V12l3 2",
  groups: "M4 6h16M4 12h16M4 18h16M8 4v4M15 10v4M10 16v4",
  webhooks: "M9.5 8.5a3.2 3.2 0 1 1 4.3 3L11 16.3M14.5 10.8l2.6 4a3.2 3.2 0 1 1-2 5.6M10.7 17.5H7a3.2 3.2 0 1 1 .4-5.6",
  sessions: "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4.5 20.5c.6-3.7 3.6-5.5 7.5-5.5s6.9 1.8 7.5 5.5",
  health: "M3 12h4l2.5-6 4.5 12 2.5-6H21",
  api: "M8.5 6 3 12l5.5 6M15.5 6 21 12l-5.5 6",
  plus: "M12 5v14M5 12h14",
  send: "M5 12h13M12.5 6l6 6-6 6",
  reply: "M9 6 4 11l5 5M4 11h9a7 7 0 0 1 7 7v1",
  edit: "M4 20h4L19 9a2.8 2.8 0 0 0-4-4L4 16zM13.5 6.5l4 4",
  trash: "M5 7h14M10 4h4M7 7l.8 12.2A1 1 0 0 0 8.8 20h6.4a1 1 0 0 0 1-.8L17 7M10.2 11v5M13.8 11v5",
  smile: "M12 20.5a8.5 8.5 0 1 0 0-17 8.5 8.5 0 0 0 0 17zM8.5 14c.8 1.3 2 2 3.5 2s2.7-.7 3.5-2M9 9.5v.5M15 9.5v.5",
  members: "M9 11.5a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM2.5 19.5c.5-3.2 3-5 6.5-5s6 1.8 6.5 5M16 5a3.3 3.3 0 0 1 0 6.3M18 14.9c2 .6 3.2 2.2 3.5 4.6",
  close: "M6 6l12 12M18 6 6 18",
  back: "M14.5 5.5 8 12l6.5 6.5",
  next: "M9.5 5.5 16 12l-6.5 6.5",
  first: "M17.5 5.5 11 12l6.5 6.5M6.5 5v14",
  last: "M6.5 5.5 13 12l-6.5 6.5M17.5 5v14",
  sun: "M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM12 2.5v2.5M12 19v2.5M2.5 12H5M19 12h2.5M5.3 5.3 7 7M17 17l1.7 1.7M18.7 5.3 17 7M7 17l-1.7 1.7",
  moon: "M19.5 14.5A8 8 0 0 1 9.5 4.5a8 8 0 1 0 10 10z",
  auto: "M4 5.5h16v10.5H4zM9 20h6M12 16v4",
  out: "M10 5H6.5A1.5 1.5 0 0 0 5 6.5v11A1.5 1.5 0 0 0 6.5 19H10M14 8l4 4-4 4M18 12H9.5",
  pause: "M8.5 5.5v13M15.5 5.5v13",
  play: "M7.5 5v14l11-7z",
  rebuild: "M4 12a8 8 0 0 1 13.7-5.6L20 8.7M20 4v4.7h-4.7M20 12a8 8 0 0 1-13.7 5.6L4 15.3M4 20v-4.7h4.7",
  check: "M5 12.5 10 17.5 19 7",
  double: "M2.5 12.5 7 17l8-9M11.5 16l1 1 8-9",
  clock: "M12 20.5a8.5 8.5 0 1 0 0-17 8.5 8.5 0 0 0 0 17zM12 7.5V12l3 2",
  warn: "M12 4 2.8 19.5h18.4zM12 10v4.5M12 17v.3",
  info: "M12 20.5a8.5 8.5 0 1 0 0-17 8.5 8.5 0 0 0 0 17zM12 11v5.5M12 7.8v.3",
  key: "M14.5 14a5 5 0 1 0-4.7-3.3L3.5 17v3.5H7V18h2.5v-2.5h2l.8-.8c.7.2 1.4.3 2.2-.7zM16 8v.3",
  copy: "M9 9h10.5v10.5H9zM5 15H4.5V4.5H15V5",
  thread: "M5 5h14M5 10h9M9 15h10M9 20h6M5 10v7a3 3 0 0 0 3 3",
  settings: "M4 7h9M17 7h3M4 17h3M11 17h9M15 4.5v5M9 14.5v5",
  pin: "M9 4h6l-1 6 3.5 3v2h-11v-2L10 10zM12 15v5.5",
  bolt: "M13 3 5 13.5h6L10 21l8.5-11H12z",
} as const;

export type IconName = keyof typeof paths;

/** Icon is decoration: the control that has it has a name of its own. */
export function Icon({ name, size = 18 }: { name: IconName; size?: number }) {
  return (
    <svg class="icon" width={size} height={size} viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">
      <path d={paths[name]} />
    </svg>
  );
}
