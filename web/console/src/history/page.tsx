export function HistoryPage() { return <p>…</p>; }
