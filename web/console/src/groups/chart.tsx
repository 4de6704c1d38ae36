import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { isDark } from "../theme";
import type { Series } from "./samples";

const height = 200;
const shownS = 120; // seconds at least

/** color returns a color of the style sheet, as it is now. */
function color(name: string): string {
  const probe = document.createElement("i");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}

/** Chart shows lag and throughput over time. */
export function Chart({ series, label }: { series: Series; label: string }) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  const dark = isDark();
  const data = (): uPlot.AlignedData => [series.times, series.lags, series.rates];

  useEffect(() => {
    const element = box.current!;
    const [muted, grid, accent, good] = [color("--muted"), color("--border"), color("--accent"), color("--good")];
    const font = "12px " + getComputedStyle(document.body).fontFamily;
    const axis = { stroke: muted, font, grid: { stroke: grid, width: 1 }, ticks: { show: false } };
    const whole = (_: uPlot, splits: number[]) => splits.map((n) => (Number.isInteger(n) ? String(n) : ""));
    const fit = (): number => Math.max(200, element.clientWidth);
    plot.current = new uPlot(
      {
        width: fit(),
        height,
        padding: [12, 8, 0, 0],
        cursor: { y: false, points: { size: 7 } },
        legend: { live: true },
        scales: {
          x: { time: true, range: ({ data: [times] }) => [Math.min(times[0] ?? 0, (times.at(-1) ?? 0) - shownS), times.at(-1) ?? 0] },
          lag: { range: (_, __, max) => [0, Math.max(4, max * 1.15)] },
          rate: { range: (_, __, max) => [0, Math.max(4, max * 1.15)] },
        },
        axes: [
          { ...axis, values: (_, splits) => splits.map((s) => new Date(s * 1000).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" })), space: 90 },
          { ...axis, scale: "lag", size: 44, values: whole },
          { ...axis, scale: "rate", side: 1, size: 44, grid: { show: false }, values: whole },
        ],
        series: [
          { label: "Time", value: (_, s) => (s === null ? "" : new Date(s * 1000).toLocaleTimeString(undefined, { hourCycle: "h23" })) },
          { label: "Lag (events)", scale: "lag", stroke: accent, width: 2, fill: accent.replace(/\)$/, " / 12%)").replace(/^rgb\((\d+), (\d+), (\d+)/, "rgb($1 $2 $3"), points: { show: false }, value: (_, n) => (n === null ? "–" : String(n)) },
          { label: "Finished a second", scale: "rate", stroke: good, width: 2, dash: [6, 4], points: { show: false }, value: (_, n) => (n === null ? "–" : n.toFixed(1)) },
        ],
      },
      data(),
      element,
    );
    const resize = new ResizeObserver(() => plot.current?.setSize({ width: fit(), height }));
    resize.observe(element);
    return () => {
      resize.disconnect();
      plot.current?.destroy();
      plot.current = undefined;
    };
  }, [dark, label]);
  useEffect(() => {
    const drawn = plot.current;
    drawn?.setData(data());
    if (drawn && (drawn.cursor.left ?? -1) < 0) {
      drawn.setLegend({ idx: series.times.length - 1 }); // the latest values, unless the pointer asks for others
    }
  }, [series]);

  const last = series.times.length - 1;
  return <div ref={box} class="chart" role="img" aria-label={`${label}: lag ${series.lags[last] ?? 0}, ${series.rates[last]?.toFixed(1) ?? 0} finished a second now`} />;
}

/** Spark is the lag of a group in little. */
export function Spark({ series }: { series: Series | undefined }) {
  const values = series?.lags.slice(-40) ?? [];
  const max = Math.max(4, ...values);
  const points = values.map((n, i) => `${((i + 40 - values.length) / 39) * 100},${22 - (n / max) * 20}`).join(" ");
  return (
    <svg class="spark" viewBox="0 0 100 24" preserveAspectRatio="none" aria-hidden="true">
      <polyline points={points} fill="none" stroke="currentColor" stroke-width="1.6" vector-effect="non-scaling-stroke" />
    </svg>
  );
}
