export function HealthPage() { return <p>…</p>; }
