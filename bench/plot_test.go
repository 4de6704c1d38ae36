package bench

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
)

// plotVariable names the directory into which benchmarks write their plots. Without it they write none.
const plotVariable = "CHATCORE_PLOTS"

// The drawing area of a plot, in pixels, and the percentiles between which it shows latencies.
const (
	plotWidth, plotHeight = 720, 360
	plotLeft, plotRight   = 72, 110
	plotTop, plotBottom   = 40, 44
)

// percentiles are the marks of the horizontal axis. Their distances grow with the digits, so that the slowest messages can be seen.
var percentiles = []float64{0, 0.5, 0.9, 0.99, 0.999} //nolint:gochecknoglobals // never changes

// plotLatencies writes a picture of latencies by percentile, in ms, as SVG.
func plotLatencies(b *testing.B, name, title string, series map[string][]float64) {
	b.Helper()
	directory := os.Getenv(plotVariable)
	if directory == "" {
		return
	}
	highest := 0.0
	for _, values := range series {
		highest = max(highest, percentile(values, percentiles[len(percentiles)-1]))
	}
	p := latencyPlot{most: math.Pow(10, math.Ceil(math.Log10(highest)))}
	p.begin(title)
	for i, label := range slices.SortedFunc(maps.Keys(series), func(one, other string) int {
		return cmp.Compare(percentile(series[one], 0.999), percentile(series[other], 0.999))
	}) {
		p.line(label, []string{"#0b6e99", "#c4561c"}[i%2], series[label])
	}
	p.text.WriteString("</svg>\n")
	if err := os.WriteFile(directory+"/"+name+".svg", []byte(p.text.String()), 0o644); err != nil { //nolint:gosec // for everyone to read
		b.Fatal(err)
	}
}

// leastLatency is the lower end of the vertical axis, in ms.
const leastLatency = 0.1

// latencyPlot is a plot that is being written. The vertical axis is logarithmic, from leastLatency to most.
type latencyPlot struct {
	most float64
	text strings.Builder
}

func (p *latencyPlot) x(share float64) float64 {
	last := percentiles[len(percentiles)-1]
	return plotLeft + (plotWidth-plotLeft-plotRight)*math.Log(1-min(share, last))/math.Log(1-last)
}

func (p *latencyPlot) y(value float64) float64 {
	share := math.Log(value/leastLatency) / math.Log(p.most/leastLatency)
	return plotHeight - plotBottom - (plotHeight-plotTop-plotBottom)*min(max(share, 0), 1)
}

func (p *latencyPlot) begin(title string) {
	fmt.Fprintf(&p.text, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="13" fill="#444">`+"\n", plotWidth, plotHeight)
	fmt.Fprintf(&p.text, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", plotWidth, plotHeight)
	fmt.Fprintf(&p.text, `<text x="%d" y="24" font-size="15" fill="#111">%s</text>`+"\n", plotLeft, title)
	for value := leastLatency; value < 1.01*p.most; value *= 10 {
		fmt.Fprintf(&p.text, `<path d="M%d %.1fH%d" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%g ms</text>`+"\n",
			plotLeft, p.y(value), plotWidth-plotRight, plotLeft-8, p.y(value)+4, value)
	}
	for _, share := range percentiles {
		fmt.Fprintf(&p.text, `<path d="M%.1f %dV%d" stroke="#eee"/><text x="%.1f" y="%d" text-anchor="middle">%g</text>`+"\n",
			p.x(share), plotTop, plotHeight-plotBottom, p.x(share), plotHeight-plotBottom+18, 100*share)
	}
	fmt.Fprintf(&p.text, `<text x="%d" y="%d" text-anchor="middle">percentile of messages</text>`+"\n", (plotLeft+plotWidth-plotRight)/2, plotHeight-8)
}

func (p *latencyPlot) line(label, color string, values []float64) {
	sorted := slices.Sorted(slices.Values(values))
	last := percentiles[len(percentiles)-1]
	fmt.Fprintf(&p.text, `<path fill="none" stroke="%s" stroke-width="2" d="`, color)
	const points = 200
	end := 0.0
	for i := range points + 1 {
		share := 1 - math.Pow(1-last, float64(i)/points)
		end = sorted[int(share*float64(len(sorted)-1))]
		command := "L"
		if i == 0 {
			command = "M"
		}
		fmt.Fprintf(&p.text, "%s%.1f %.1f", command, p.x(share), p.y(end))
	}
	fmt.Fprintf(&p.text, `"/><text x="%.1f" y="%.1f" fill="%s">%s</text>`+"\n", p.x(last)+8, p.y(end)+4, color, label)
}
