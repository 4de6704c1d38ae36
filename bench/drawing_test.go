package bench

import (
	"encoding/xml"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Colors of pictures on light and on dark pages: of the page, the grid and texts, and of the classes c0 to c4.
var (
	drawingStyle = [2]string{ //nolint:gochecknoglobals // never changes
		"text{fill:#444}.title{fill:#111}.note{fill:#666}.page,.ring{fill:#fff}.grid{stroke:#e2e2e2}.axis{stroke:#999}",
		"text{fill:#c3c7cc}.title{fill:#f0f3f6}.note{fill:#9aa2ab}.page,.ring{fill:#0d1117}.grid{stroke:#2b3138}.axis{stroke:#6e7681}",
	}
	drawingColors = [2][]string{ //nolint:gochecknoglobals // never changes
		{"#0b6e99", "#c4561c", "#8a6d00", "#2b7d46", "#7a4fa3"},
		{"#58b8e8", "#f0935a", "#d6b656", "#5fc27e", "#b999e6"},
	}
)

// styles returns the style element of all pictures. Viewers that know no media queries use the colors of light pages.
func styles() string {
	var of [2]string
	for i := range of {
		of[i] = drawingStyle[i]
		for k, color := range drawingColors[i] {
			of[i] += fmt.Sprintf("\n.line.c%d,.ring.c%[1]d,.dot.c%[1]d{stroke:%[2]s}.dot.c%[1]d,.bar.c%[1]d,text.c%[1]d{fill:%[2]s}", k, color)
		}
	}
	return "<style>\ntext{font:13px sans-serif}.title{font-size:16px;font-weight:600}.note{font-size:12px}.bold{font-weight:600}.faint{opacity:.35}" +
		".grid,.axis,.line{fill:none}.line,.ring{stroke-width:2}.line.wide{stroke-width:3.5}.dashed{stroke-dasharray:6 4}\n" +
		of[0] + "\n@media(prefers-color-scheme:dark){\n" + of[1] + "\n}\n</style>"
}

// drawing is a picture that is being written, as SVG. Its coordinates are pixels.
type drawing struct{ text strings.Builder }

func newDrawing(width, height int, title, note string) *drawing {
	d := &drawing{}
	fmt.Fprintf(&d.text, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img">`+"\n", width, height, width, height)
	fmt.Fprintf(&d.text, "<title>%s</title>\n%s\n", escaped(title), styles())
	fmt.Fprintf(&d.text, `<rect class="page" width="%d" height="%d"/>`+"\n", width, height)
	d.label(20, 28, "start", "title", title)
	d.label(20, 47, "start", "note", note)
	return d
}

func escaped(text string) string {
	var b strings.Builder
	if err := xml.EscapeText(&b, []byte(text)); err != nil {
		return ""
	}
	return b.String()
}

// save writes the picture to a file, if pictures are asked for.
func (d *drawing) save(b *testing.B, name string) {
	b.Helper()
	directory := os.Getenv(plotVariable)
	if directory == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(directory, name+".svg"), []byte(d.text.String()+"</svg>\n"), 0o644); err != nil { //nolint:gosec // for everyone to read
		b.Fatal(err)
	}
}

func (d *drawing) label(x, y float64, anchor, class, text string) {
	fmt.Fprintf(&d.text, `<text class="%s" x="%.1f" y="%.1f" text-anchor="%s">%s</text>`+"\n", class, x, y, anchor, escaped(text))
}

// point is a position in a picture.
type point struct{ x, y float64 }

func (d *drawing) path(class string, points ...point) {
	fmt.Fprintf(&d.text, `<path class="%s" d="`, class)
	for i, p := range points {
		command := "L"
		if i == 0 {
			command = "M"
		}
		fmt.Fprintf(&d.text, "%s%.1f %.1f", command, p.x, p.y)
	}
	d.text.WriteString(`"/>` + "\n")
}

func (d *drawing) circle(class string, at point, radius float64) {
	fmt.Fprintf(&d.text, `<circle class="%s" cx="%.1f" cy="%.1f" r="%.1f"/>`+"\n", class, at.x, at.y, radius)
}

func (d *drawing) bar(class string, from, to point) {
	fmt.Fprintf(&d.text, `<rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="2"/>`+"\n", class, from.x, from.y, max(to.x-from.x, 1), to.y-from.y)
}

// scale maps values from least to most to pixels.
type scale struct {
	least, most float64
	from, to    float64
	log         bool
}

func (s scale) at(value float64) float64 {
	share := (value - s.least) / (s.most - s.least)
	if s.log {
		share = math.Log(value/s.least) / math.Log(s.most/s.least)
	}
	return s.from + (s.to-s.from)*min(max(share, 0), 1)
}

// ticks returns the values of grid lines: powers of ten, or about four round numbers.
func (s scale) ticks() []float64 {
	var all []float64
	if s.log {
		for v := math.Pow(10, math.Ceil(math.Log10(s.least)-1e-9)); v <= s.most*1.0001; v *= 10 {
			all = append(all, v)
		}
		return all
	}
	step := math.Pow(10, math.Floor(math.Log10(s.most/2)))
	for _, m := range []float64{1, 2, 2.5, 5, 10} {
		if s.most/(m*step) <= 5 {
			step *= m
			break
		}
	}
	for v := 0.0; v <= s.most*1.0001; v += step {
		all = append(all, v)
	}
	return all
}

// apart returns positions at least a distance apart, in the order of the given ones and near to them, below a bottom.
func apart(positions []float64, distance, bottom float64) []float64 {
	order := make([]int, len(positions))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int {
		if positions[i] < positions[j] {
			return -1
		}
		return 1
	})
	moved := slices.Clone(positions)
	for range 100 {
		still := true
		for k := 1; k < len(order); k++ {
			upper, lower := order[k-1], order[k]
			if gap := moved[lower] - moved[upper]; gap < distance-0.01 {
				moved[upper] -= (distance - gap) / 2
				moved[lower] += (distance - gap) / 2
				still = false
			}
		}
		if last := order[len(order)-1]; moved[last] > bottom {
			moved[last] = bottom
		}
		if still {
			break
		}
	}
	return moved
}
