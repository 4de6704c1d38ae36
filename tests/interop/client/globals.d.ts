// What the programs of the pages use of Node. The package needs no declarations of Node.
declare const process: { env: Record<string, string | undefined>; once(signal: "SIGTERM", f: () => void): void };
