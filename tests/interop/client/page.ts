// Runs a program in a page: its name and the token are in the fragment of the address.
import { run } from "./program.js";
import { retries } from "./retries.js";

const fragment = new URLSearchParams(location.hash.slice(1));
const program = fragment.get("program") === "retries" ? retries : run;
Object.assign(globalThis, { report: await program(location.origin, fragment.get("token") ?? "") });
