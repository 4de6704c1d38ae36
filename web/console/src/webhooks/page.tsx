export function WebhooksPage() { return <p>…</p>; }
