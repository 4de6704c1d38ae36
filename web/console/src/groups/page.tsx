export function GroupsPage() { return <p>…</p>; }
