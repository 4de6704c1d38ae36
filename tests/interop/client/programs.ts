import { feed } from "./feed.js";
import { run, type Report } from "./program.js";
import { retries } from "./retries.js";

/** programs are the programs by name. */
export const programs: { [name: string]: (url: string, token: string) => Promise<Report> } = { everything: run, retries, feed };
