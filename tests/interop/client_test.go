//go:build interop

package interop

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"chatcore/tests/apiserver"
)

const clientSources = "../../clients/ts"

// project is a project of a team that has installed the published client.
type project struct {
	t         *testing.T
	directory string
	sources   string // of the client, which has the tools
}

// newProject packs the client, installs the package, and compiles the programs of client/ and the TypeScript of the pages.
func newProject(t *testing.T) *project {
	t.Helper()
	sources, err := filepath.Abs(clientSources)
	if err != nil {
		t.Fatal(err)
	}
	p := &project{t: t, directory: t.TempDir(), sources: sources}
	p.in(sources, "npm", "pack", "--pack-destination", p.directory, "--loglevel=error")
	packed, err := filepath.Glob(filepath.Join(p.directory, "*.tgz"))
	if err != nil || len(packed) != 1 {
		t.Fatalf("npm pack made %q, error %v", packed, err)
	}
	if err := os.CopyFS(p.directory, os.DirFS("client")); err != nil {
		t.Fatal(err)
	}
	p.write("package.json", `{"name":"team","private":true,"type":"module"}`)
	p.in(p.directory, "npm", "install", "--prefer-offline", "--no-audit", "--no-fund", "--loglevel=error", packed[0])
	p.snippets()
	p.in(p.directory, "node", p.tool("typescript/bin/tsc"), "-p", ".")
	p.in(p.directory, "node", p.tool("typescript/bin/tsc"), "-p", ".", "--noEmit", "--exactOptionalPropertyTypes", "false", "--module", "esnext", "--moduleResolution", "bundler")
	return p
}

// snippetName returns the name of the programs of a page: README for that of the repository.
func snippetName(page string) string {
	name := strings.TrimSuffix(filepath.Base(page), ".md")
	if strings.HasPrefix(page, clientSources) {
		return "client-" + name
	}
	return name
}

func (p *project) tool(path string) string { return filepath.Join(p.sources, "node_modules", path) }

func (p *project) write(name, text string) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.directory, name), []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// snippets adds the blocks of TypeScript of the pages as programs.
func (p *project) snippets() {
	p.t.Helper()
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		p.t.Fatal(err)
	}
	count := 0
	for _, page := range append(pages, "../../README.md", "../../clients/ts/README.md") {
		text, err := os.ReadFile(page) //nolint:gosec // a page of this repository
		if err != nil {
			p.t.Fatal(err)
		}
		for i, block := range regexp.MustCompile("(?ms)^```ts\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
			p.write(fmt.Sprintf("%s-%d.ts", snippetName(page), i), block[1])
			count++
		}
	}
	if count < 2 {
		p.t.Errorf("only %d snippets of TypeScript were found", count)
	}
}

// in runs a program in a directory, and returns its standard output.
func (p *project) in(directory, program string, args ...string) string {
	p.t.Helper()
	return p.with(nil, directory, program, args...)
}

func (p *project) with(env []string, directory, program string, args ...string) string {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	var errs strings.Builder
	cmd.Dir, cmd.Env, cmd.Stderr = directory, append(os.Environ(), env...), &errs
	out, err := cmd.Output()
	if err != nil {
		p.t.Fatalf("%s %s: %v; `make interop` installs what it needs\n%s%s", program, strings.Join(args, " "), err, out, errs.String())
	}
	return string(out)
}

// bundle returns the page's script in one file.
func (p *project) bundle() []byte {
	p.t.Helper()
	p.in(p.directory, p.tool(".bin/esbuild"), "out/page.js", "--bundle", "--format=esm", "--target=es2022", "--outfile=bundle.js", "--log-level=error")
	script, err := os.ReadFile(filepath.Join(p.directory, "bundle.js"))
	if err != nil {
		p.t.Fatal(err)
	}
	return script
}

// node runs a program of client/ in Node.
func (p *project) node(program, address, token string) string {
	return p.with([]string{"PROGRAM=" + program, "URL=" + address, "TOKEN=" + token}, p.directory, "node", "out/node.js")
}

// chromium runs a program of client/ in a page of the server.
func (p *project) chromium(program, address, token string) string {
	p.t.Helper()
	var browser string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			browser = path
			break
		}
	}
	if browser == "" {
		p.t.Fatal("there is no Chromium; `make interop` installs it where it may")
	}
	fragment := url.Values{"program": {program}, "token": {token}}.Encode()
	return p.in(p.directory, "node", "browser.mjs", p.tool("playwright-core/index.mjs"), browser, address+"/page#"+fragment)
}

// serve serves an API, and beside it a page with a script.
func serve(t *testing.T, api http.Handler, script []byte) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("/", api)
	mux.HandleFunc("GET /page", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = w.Write([]byte(`<!doctype html><link rel="icon" href="data:,"><script type="module" src="/script.js"></script>`))
	})
	mux.HandleFunc("GET /script.js", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		_, _ = w.Write(script)
	})
	server := httptest.NewUnstartedServer(mux)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	return server.URL
}

// breaker is a handler that carries every call out, and breaks the connection instead of every second response, the first one included: before the
// response, or in the middle of its body. A browser itself gives a request again whose connection ends before the response.
type breaker struct {
	api      http.Handler
	requests atomic.Int64
	sessions atomic.Int64 // requests of OpenSession, whose responses all end in the middle
}

func (b *breaker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	response := httptest.NewRecorder()
	b.api.ServeHTTP(response, r)
	body, number := response.Body.Bytes(), b.requests.Add(1)
	if strings.HasSuffix(r.URL.Path, "/OpenSession") {
		b.sessions.Add(1)
		number = 1
	}
	maps.Copy(w.Header(), response.Header())
	switch number % 4 {
	case 0, 2:
		w.WriteHeader(response.Code)
		_, _ = w.Write(body) // the client is gone
		return
	case 1:
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(response.Code)
		_, _ = w.Write(body[:len(body)/2])
		_ = http.NewResponseController(w).Flush()
	}
	panic(http.ErrAbortHandler)
}

// reported returns the methods that a program called, and reports its faults.
func reported(t *testing.T, out string) []string {
	t.Helper()
	var report struct{ Called, Faults []string }
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, fault := range report.Faults {
		t.Error(fault)
	}
	return report.Called
}

// TestClient installs the packed client in a project and runs programs of it in Node and in Chromium, on a core on a real Redis.
func TestClient(t *testing.T) {
	p := newProject(t)
	script := p.bundle()
	runtimes := map[string]func(program, address, token string) string{"node": p.node, "chromium": p.chromium}
	for name, runtime := range runtimes {
		t.Run(name, func(t *testing.T) {
			server := apiserver.Start(t)
			t.Run("everything", func(t *testing.T) {
				called, want := reported(t, runtime("everything", serve(t, server.Guarded, script), server.Token)), apiserver.Methods()
				if name == "chromium" { // which has no streams in both directions
					want = slices.DeleteFunc(want, func(path string) bool { return path == "chatcore.consumer.v1.ConsumerService/Consume" })
				}
				if !slices.Equal(called, want) {
					t.Errorf("it called\n%q, and the API has\n%q", called, want)
				}
			})
			t.Run("retries", func(t *testing.T) {
				b := &breaker{api: server.Guarded}
				reported(t, runtime("retries", serve(t, b, script), server.Token))
				if all, sessions := b.requests.Load(), b.sessions.Load(); all < 18 || sessions != 1 {
					t.Errorf("%d requests of 10 calls, %d of them of OpenSession; want at least 18 and 1", all, sessions)
				}
			})
		})
	}
	t.Run("feed", func(t *testing.T) {
		service := startService(t)
		address := serve(t, service.front(t, service.faults(t)), script)
		for name, runtime := range runtimes {
			t.Run(name, func(t *testing.T) { reported(t, runtime("feed", address, service.token)) })
		}
	})
	t.Run("README", func(t *testing.T) {
		address := serve(t, apiserver.Start(t).Local, nil)
		file := filepath.Join(p.directory, "out", "README-0.js")
		text, err := os.ReadFile(file) //nolint:gosec // compiled from the README
		if err != nil {
			t.Fatal(err)
		}
		p.write(filepath.Join("out", "README-0.js"), strings.ReplaceAll(string(text), "http://127.0.0.1:7460", address))
		if out := p.in(p.directory, "node", file); !strings.Contains(out, "ada Soup at one") {
			t.Errorf("the program of the README prints %q", out)
		}
	})
}
