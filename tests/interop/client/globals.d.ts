// Declarations of those parts of Node that the programs of the pages use. The package itself needs no declarations of Node.
declare const process: { env: Record<string, string | undefined>; once(signal: "SIGTERM", f: () => void): void };
