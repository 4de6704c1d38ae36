package bench

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"
)

// colors are the classes of peers in pictures.
var colors = map[string]string{ //nolint:gochecknoglobals // never changes
	"chatcore": "c0", "Centrifuge": "c1", "watermill-redisstream": "c2", "NATS JetStream": "c3", "PostgreSQL outbox": "c4",
}

// plotThroughput draws messages a second by callers.
func plotThroughput(b *testing.B, peers []*peer, callers []int, runs map[string]map[int][]peerRun) {
	b.Helper()
	const left, right, top, bottom = 78, 560, 66, 380
	d := newDrawing(760, 430, "Messages a second by concurrent callers", "287 B, 1,000 chats, medians of five rounds; dashed: each send waits until the message is on the disk")
	x := scale{least: float64(callers[0]), most: float64(callers[len(callers)-1]), from: left, to: right, log: true}
	y := scale{least: 100, most: 100_000, from: bottom, to: top, log: true}
	for _, v := range y.ticks() {
		d.path("grid", point{left, y.at(v)}, point{right, y.at(v)})
		d.label(left-8, y.at(v)+4, "end", "", thousands(v))
	}
	for _, c := range callers {
		d.path("grid", point{x.at(float64(c)), top}, point{x.at(float64(c)), bottom})
		d.label(x.at(float64(c)), bottom+20, "middle", "", fmt.Sprint(c))
	}
	d.label((left+right)/2, bottom+40, "middle", "note", "callers")
	ends := make([]float64, len(peers))
	for i, p := range peers {
		var points []point
		for _, c := range callers {
			points = append(points, point{x.at(float64(c)), y.at(median(valuesOf(runs[p.label()][c], peerRun.perSecond)))})
		}
		ends[i] = points[len(points)-1].y
		d.path("line "+peerClass(p), points...)
		for _, at := range points {
			d.circle("dot "+colors[p.name], at, 3)
		}
	}
	for i, at := range apart(ends, 16, bottom) {
		d.label(right+10, at+4, "start", "name "+colors[peers[i].name]+boldFor(peers[i].name), peers[i].label())
	}
	d.save(b, "peer-throughput")
}

func peerClass(p *peer) string {
	class := colors[p.name]
	if p.name == "chatcore" {
		class += " wide"
	}
	if p.onDisk {
		class += " dashed"
	}
	return class
}

func boldFor(name string) string {
	if name == "chatcore" {
		return " bold"
	}
	return ""
}

// plotPeerLatencies draws the median, the 99th and the 99.9th percentile of each peer, beside one another for handlers and listeners.
func plotPeerLatencies(b *testing.B, readers []*peerReaders, taken map[string]*peerLatencies) {
	b.Helper()
	const top, row, panel, gap, left = 96, 28, 270, 30, 180
	bottom := float64(top + row*len(readers))
	d := newDrawing(left+2*panel+gap+30, int(bottom)+50, "Latency of a message, 300 a second", "from when the send is due; ● median, ○ 99 %, │ 99.9 % of messages; scale logarithmic")
	most := 1.0
	for _, to := range taken {
		most = max(most, percentile(slices.Concat(append(to.handled, to.heard...)...), 0.999))
	}
	for side, title := range []string{"to a durable handler", "to a live listener"} {
		from := float64(left + side*(panel+gap))
		x := scale{least: 0.3, most: 1.3 * math.Pow(10, math.Ceil(math.Log10(most))), from: from, to: from + panel, log: true}
		d.label(from, top-16, "start", "bold", title)
		for _, v := range x.ticks() {
			d.path("grid", point{x.at(v), top - 6}, point{x.at(v), bottom})
			d.label(x.at(v), bottom+18, "middle", "", latency(v))
		}
		for i, r := range readers {
			y := float64(top + row*i + row/2)
			if side == 0 {
				d.label(left-14, y+4, "end", "name "+colors[r.name]+boldFor(r.name), r.label())
			}
			var rounds [][]float64
			if to := taken[r.label()]; to != nil {
				rounds = [][][]float64{to.handled, to.heard}[side]
			}
			if len(rounds) == 0 {
				d.label(from+4, y+4, "start", "note", "none")
				continue
			}
			all := slices.Concat(rounds...)
			p50, p99, p999 := x.at(percentile(all, 0.5)), x.at(percentile(all, 0.99)), x.at(percentile(all, 0.999))
			d.path("line "+colors[r.name], point{p50, y}, point{p999, y})
			d.path("line "+colors[r.name], point{p999, y - 6}, point{p999, y + 6})
			d.circle("ring "+colors[r.name], point{p99, y}, 4)
			d.circle("dot "+colors[r.name], point{p50, y}, 5)
		}
	}
	d.save(b, "peer-latency")
}

// latency writes a time in ms with few letters.
func latency(ms float64) string {
	if ms >= 1000 {
		return fmt.Sprintf("%g s", ms/1000)
	}
	return fmt.Sprintf("%g ms", ms)
}

// plotMemory draws the bytes of a message in chats of 100 messages, with a mark at its encoded size.
func plotMemory(b *testing.B, names []string, bytes map[string][]float64, passing map[string]float64, encoded int) {
	b.Helper()
	const left, right, top, row = 180, 580, 84, 34
	bottom := float64(top + row*len(names))
	d := newDrawing(760, int(bottom)+60, "Bytes of a stored message", fmt.Sprintf("chats of 100 messages of %d B; pale: expires after minutes (idempotency keys)", encoded))
	most := 0.0
	for name, sizes := range bytes {
		most = max(most, sizes[0]+passing[name])
	}
	x := scale{most: most, from: left, to: right}
	for _, v := range x.ticks() {
		d.path("grid", point{x.at(v), top - 6}, point{x.at(v), bottom})
		d.label(x.at(v), bottom+18, "middle", "", thousands(v))
	}
	for i, name := range names {
		y := float64(top + row*i)
		d.label(left-14, y+20, "end", "name "+colors[name]+boldFor(name), name)
		d.bar("bar faint "+colors[name], point{left, y + 6}, point{x.at(bytes[name][0] + passing[name]), y + row - 6})
		d.bar("bar "+colors[name], point{left, y + 6}, point{x.at(bytes[name][0]), y + row - 6})
		also := ""
		if passing[name] > 0 {
			also = fmt.Sprintf(" + %.0f B", passing[name])
		}
		d.label(x.at(bytes[name][0]+passing[name])+8, y+20, "start", "", fmt.Sprintf("%.0f B %s", bytes[name][0], placeOf(name))+also)
	}
	d.path("axis dashed", point{x.at(float64(encoded)), top - 6}, point{x.at(float64(encoded)), bottom})
	d.label(x.at(float64(encoded)), bottom+36, "middle", "note", "the encoded message")
	d.save(b, "peer-memory")
}

func placeOf(name string) string {
	if name == "NATS JetStream" || name == "PostgreSQL outbox" {
		return "on disk"
	}
	return "in RAM"
}

// plotGrowth draws four pictures of growth beside one another.
func plotGrowth(b *testing.B, all []*growth) {
	b.Helper()
	const width, height, left, right, top, bottom = 440, 280, 64, 150, 100, 70
	d := newDrawing(2*width+20, 2*height+60, "Growth of the cost of a message", "medians of five rounds; horizontal axes are logarithmic, and those of µs and ms where they show powers of ten")
	for i, g := range all {
		x, y := float64(20+i%2*width), float64(top+i/2*height)
		g.draw(d, point{x + left, y}, point{x + width - right, y + height - bottom})
	}
	d.save(b, "growth")
}

// draw draws the lines of g in an area.
func (g *growth) draw(d *drawing, from, to point) {
	most := 0.0
	for _, values := range g.lines {
		most = max(most, slices.Max(values))
	}
	x := scale{least: float64(g.at[0]), most: float64(g.at[len(g.at)-1]), from: from.x, to: to.x, log: true}
	y := scale{most: 1.1 * most, from: to.y, to: from.y}
	if g.least > 0 {
		y.least, y.most, y.log = g.least, math.Pow(10, math.Ceil(math.Log10(most))), true
	}
	d.label(from.x-44, from.y-14, "start", "bold", g.title+": "+g.unit)
	for _, v := range y.ticks() {
		d.path("grid", point{from.x, y.at(v)}, point{to.x, y.at(v)})
		d.label(from.x-8, y.at(v)+4, "end", "", thousands(v))
	}
	after := 0.0
	for _, size := range g.at {
		at := x.at(float64(size))
		d.path("grid", point{at, from.y}, point{at, to.y})
		if at < after {
			continue // no room for its name
		}
		d.label(at, to.y+18, "middle", "", short(size))
		after = at + 34
	}
	names := slices.Sorted(maps.Keys(g.lines))
	ends := make([]float64, len(names))
	for i, name := range names {
		var points []point
		for k, value := range g.lines[name] {
			points = append(points, point{x.at(float64(g.at[k])), y.at(value)})
		}
		class := fmt.Sprintf("c%d", i)
		d.path("line "+class, points...)
		for _, p := range points {
			d.circle("dot "+class, p, 3)
		}
		ends[i] = points[len(points)-1].y
	}
	for i, at := range apart(ends, 16, to.y) {
		d.label(to.x+10, at+4, "start", fmt.Sprintf("name c%d", i), names[i])
	}
}

// short writes a size with few letters.
func short(size int) string {
	switch {
	case size >= 1_000_000:
		return fmt.Sprintf("%dM", size/1_000_000)
	case size >= 10_000:
		return fmt.Sprintf("%dk", size/1000)
	}
	return grouped(size)
}

// percentiles are the marks of the horizontal axis. Their distances grow with the digits, so that the slowest messages can be seen.
var percentiles = []float64{0, 0.5, 0.9, 0.99, 0.999} //nolint:gochecknoglobals // never changes

// plotLatencies draws latencies by percentile, in ms.
func plotLatencies(b *testing.B, name, title string, series map[string][]float64) {
	b.Helper()
	const left, right, top, bottom, points = 72, 610, 60, 330, 200
	last := percentiles[len(percentiles)-1]
	highest := 0.0
	for _, values := range series {
		highest = max(highest, percentile(values, last))
	}
	d := newDrawing(720, 380, title, "by percentile of messages")
	y := scale{least: 0.1, most: math.Pow(10, math.Ceil(math.Log10(highest))), from: bottom, to: top, log: true}
	x := func(share float64) float64 { return left + (right-left)*math.Log(1-min(share, last))/math.Log(1-last) }
	for _, v := range y.ticks() {
		d.path("grid", point{left, y.at(v)}, point{right, y.at(v)})
		d.label(left-8, y.at(v)+4, "end", "", latency(v))
	}
	for _, share := range percentiles {
		d.path("grid", point{x(share), top}, point{x(share), bottom})
		d.label(x(share), bottom+20, "middle", "", fmt.Sprintf("%g", 100*share))
	}
	names := slices.SortedFunc(maps.Keys(series), func(one, other string) int {
		return cmp.Compare(percentile(series[one], last), percentile(series[other], last))
	})
	ends := make([]float64, len(names))
	for i, name := range names {
		sorted := slices.Sorted(slices.Values(series[name]))
		var line []point
		for k := range points + 1 {
			share := 1 - math.Pow(1-last, float64(k)/points)
			line = append(line, point{x(share), y.at(sorted[int(share*float64(len(sorted)-1))])})
		}
		ends[i] = line[points].y
		d.path("line "+colors[name], line...)
	}
	for i, at := range apart(ends, 16, bottom) {
		d.label(right+8, at+4, "start", "name "+colors[names[i]], names[i])
	}
	d.save(b, name)
}
