// Runs a program in a page: its name and the token are in the fragment of the address.
import { programs } from "./programs.js";

const fragment = new URLSearchParams(location.hash.slice(1));
const program = programs[fragment.get("program") ?? ""]!;
Object.assign(globalThis, { report: await program(location.origin, fragment.get("token") ?? "") });
