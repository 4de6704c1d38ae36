import { signal } from "@preact/signals";
import { client } from "../session";

export type Group = Awaited<ReturnType<typeof client.admin.groups.list>>[number];

/** Series has the samples of one group: times in seconds, lags, and finished events a second. */
export interface Series {
  times: number[];
  lags: number[];
  rates: (number | null)[];
}

const kept = 300; // samples of a group
export const sampleMs = 2_000;

export const groups = signal<readonly Group[] | undefined>(undefined);
export const groupsError = signal<unknown>(undefined);
/** series are the samples by group, for as long as the page is open. */
export const series = signal<ReadonlyMap<string, Series>>(new Map());

const before = new Map<string, { at: number; passed: number }>();

/** sample loads all groups, and notes their lags and throughputs. */
export async function sample(signal?: AbortSignal): Promise<void> {
  try {
    const list = await client.admin.groups.list({}, signal ? { signal, timeoutMs: 10_000 } : {});
    const at = Date.now();
    const all = new Map<string, Series>();
    for (const group of list) {
      const passed = group.partitions.reduce((sum, partition) => sum + partition.passed, 0);
      const last = before.get(group.name);
      before.set(group.name, { at, passed });
      const rate = last && at > last.at ? Math.max(0, passed - last.passed) / ((at - last.at) / 1000) : null;
      const { times, lags, rates } = series.value.get(group.name) ?? { times: [], lags: [], rates: [] };
      all.set(group.name, { times: [...times, at / 1000].slice(-kept), lags: [...lags, group.lag].slice(-kept), rates: [...rates, rate].slice(-kept) });
    }
    series.value = all;
    groups.value = list;
    groupsError.value = undefined;
  } catch (error) {
    if (!signal?.aborted) {
      groupsError.value = error;
    }
  }
}
