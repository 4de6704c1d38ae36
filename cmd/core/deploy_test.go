package main

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// deployed returns the expressions of PromQL in deploy/, by where they are.
func deployed(t *testing.T) map[string]string {
	t.Helper()
	expressions := make(map[string]string)
	rules, err := os.ReadFile("../../deploy/prometheus/alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range regexp.MustCompile(`(?s)- alert: (\w+)\n\s+expr: (.*?)\n\s+for: `).FindAllStringSubmatch(string(rules), -1) {
		expressions["alert "+rule[1]] = strings.TrimPrefix(rule[2], "|")
	}
	if n := strings.Count(string(rules), "alert: "); n == 0 || n != len(expressions) {
		t.Fatalf("%d of %d alerts were read", len(expressions), n)
	}
	text, err := os.ReadFile("../../deploy/grafana/chatcore.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
		Templating struct {
			List []struct{ Name, Definition string }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			expressions["panel "+panel.Title+" "+target.Expr] = target.Expr
		}
	}
	for _, variable := range dashboard.Templating.List {
		if call := regexp.MustCompile(`^label_values\((.*), (\w+)\)$`).FindStringSubmatch(variable.Definition); call != nil {
			expressions["variable "+variable.Name] = "sum by (" + call[2] + ") (" + call[1] + ")"
		}
	}
	return expressions
}

// metricsOf returns the metrics that an expression names, each with the labels that the expression needs of it.
func metricsOf(expression string) map[string][]string {
	found := make(map[string][]string)
	// A part is one aggregation: the labels between "by (" and ")" are those of the metrics up to the next one.
	var by []string
	rest := regexp.MustCompile(`"[^"]*"|\$\w+`).ReplaceAllString(expression, "") // values and variables
	for _, token := range regexp.MustCompile(`\bby \(([^)]*)\)|\b((?:chatcore|messaging|process|go)_[a-z0-9_]+)\b(\{[^}]*\})?`).FindAllStringSubmatch(rest, -1) {
		if token[2] == "" {
			by = strings.FieldsFunc(token[1], func(r rune) bool { return r == ',' || r == ' ' })
			continue
		}
		labels := slices.Clone(by)
		for _, matcher := range strings.Split(strings.Trim(token[3], "{}"), ",") {
			if label, _, is := strings.Cut(matcher, "="); is {
				labels = append(labels, strings.TrimRight(label, "!"))
			}
		}
		found[token[2]] = append(found[token[2]], labels...)
	}
	return found
}

// TestDeploy_MetricsExist scrapes a core that serves and compares its page with the alerts and the dashboard: every metric that they name is exported,
// with the labels that they use.
func TestDeploy_MetricsExist(t *testing.T) {
	free, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	admin := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	s := &shell{t: t, base: []string{"--redis-url", redistest.Start(t, "--maxmemory", "1gb", "--maxmemory-policy", "noeviction").URL()}}
	t.Setenv("CHATCORE_WEBHOOKS_KEYS", base64.StdEncoding.EncodeToString(make([]byte, 32)))
	t.Setenv("CHATCORE_WEBHOOKS_ALLOW", "127.0.0.1")
	t.Setenv("CHATCORE_WEBHOOKS_ALLOW_HTTP", "true")
	endpoint := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(endpoint.Close)
	out, _, stop := s.follow("serve", "--listen", "127.0.0.1:0", "--admin", admin)
	defer stop()
	wait.Until(t, "the address of the API", func() bool { return strings.Contains(out.String(), "\n") })
	api := strings.TrimSpace(out.String())
	post := func(method, body string) {
		t.Helper()
		response, err := http.Post(api+"/chatcore.v1."+method, "application/json", strings.NewReader(body)) //nolint:noctx // of a loopback server
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		if text, _ := io.ReadAll(response.Body); response.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %s", method, response.StatusCode, text)
		}
	}
	s.do("webhook", "create", "crm", endpoint.URL)
	post("ChatService/CreateChat", `{"chat_id":"garden","actor_id":"ada","command_id":"c1"}`)
	post("MessageService/SendMessage", `{"chat_id":"garden","actor_id":"ada","message_id":"m1","content":"hello"}`)

	expressions := deployed(t)
	if len(expressions) < 50 {
		t.Errorf("%d expressions were read", len(expressions))
	}
	var missing []string
	defer func() {
		if t.Failed() {
			t.Log(strings.Join(missing, "\n"))
		}
	}()
	wait.Until(t, "every metric of deploy/ to be exported", func() bool {
		page := scrape(t, "http://"+admin+"/metrics")
		missing = nil
		for _, where := range slices.Sorted(maps.Keys(expressions)) {
			metrics := metricsOf(expressions[where])
			if len(metrics) == 0 && !strings.Contains(expressions[where], "up{") {
				t.Fatalf("%s names no metric: %s", where, expressions[where])
			}
			for name, labels := range metrics {
				for _, fault := range page.faults(name, labels) {
					missing = append(missing, where+": "+fault)
				}
			}
		}
		return len(missing) == 0
	})
}

// exported has the labels of each metric of a page.
type exported map[string]map[string]bool

// faults returns what a page lacks of a metric. Prometheus adds the labels job and instance, and buckets have le.
func (e exported) faults(name string, labels []string) []string {
	has, there := e[name]
	if !there {
		return []string{"no metric " + name}
	}
	var found []string
	for _, label := range labels {
		if label != "job" && label != "instance" && !has[label] {
			found = append(found, name+" has no label "+label)
		}
	}
	return found
}

// scrape reads a page of metrics in Prometheus's text format. A page that does not answer yet is empty.
func scrape(t *testing.T, url string) exported {
	t.Helper()
	response, err := http.Get(url) //nolint:gosec,noctx // of a loopback server
	if err != nil {
		return nil
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	page := make(exported)
	for line := range strings.Lines(string(text)) {
		sample := regexp.MustCompile(`^([a-z0-9_]+)(\{.*\})? `).FindStringSubmatch(line)
		if sample == nil {
			continue
		}
		if page[sample[1]] == nil {
			page[sample[1]] = make(map[string]bool)
		}
		for _, label := range regexp.MustCompile(`[{,](\w+)="`).FindAllStringSubmatch(sample[2], -1) {
			page[sample[1]][label[1]] = true
		}
	}
	return page
}

// TestDeploy_SettingsExist compares the variables that the files of deploy/ and the Dockerfile set with the settings of the program.
func TestDeploy_SettingsExist(t *testing.T) {
	known := make(map[string]bool)
	for _, setting := range newSettings(pflag.NewFlagSet("", pflag.ContinueOnError)).list {
		known[variableOf(setting.key)] = true
	}
	found := 0
	err := filepath.WalkDir("../../deploy", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path) //nolint:gosec // of this repository
		if err != nil {
			return err
		}
		for _, variable := range regexp.MustCompile(`\bCHATCORE_[A-Z0-9_]+\b`).FindAllString(string(text), -1) {
			if found++; !known[variable] {
				t.Errorf("%s sets %s, which is no setting", path, variable)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	image, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	for _, variable := range regexp.MustCompile(`\bCHATCORE_[A-Z0-9_]+\b`).FindAllString(string(image), -1) {
		if found++; !known[variable] {
			t.Errorf("the Dockerfile sets %s, which is no setting", variable)
		}
	}
	if found < 15 {
		t.Errorf("%d variables were found", found)
	}
}
