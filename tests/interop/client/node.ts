// Runs a program in Node: PROGRAM, URL and TOKEN are in the environment. The report is one line of JSON.
import { programs } from "./programs.js";

declare const process: { env: Record<string, string>; stdout: { write(text: string): void } };

const { PROGRAM = "", URL: url = "", TOKEN = "" } = process.env;
process.stdout.write(JSON.stringify(await programs[PROGRAM]!(url, TOKEN)) + "\n");
