export function ExplorerPage() { return <p>…</p>; }
