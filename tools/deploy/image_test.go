package deploy_test

import (
	"bytes"
	"context"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// image is an image after the steps of the Dockerfile were tried in directories, without a container engine.
type image struct {
	dir        string // of its files
	env        []string
	user       string
	ports      []string
	entrypoint []string
	command    []string
	health     []string
}

// stages reads the Dockerfile with the parser of BuildKit.
func stages(t *testing.T) []instructions.Stage {
	t.Helper()
	parsed, err := parser.Parse(bytes.NewReader(read(t, "Dockerfile")))
	if err != nil {
		t.Fatal(err)
	}
	for _, warning := range parsed.Warnings {
		t.Errorf("Dockerfile: %s", warning.Short)
	}
	found, _, err := instructions.Parse(parsed.AST, nil)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// buildContext copies the tracked files that .dockerignore lets into a build.
func buildContext(t *testing.T) string {
	t.Helper()
	patterns, err := ignorefile.ReadAll(bytes.NewReader(read(t, ".dockerignore")))
	if err != nil {
		t.Fatal(err)
	}
	matcher, err := patternmatcher.New(patterns)
	if err != nil {
		t.Fatal(err)
	}
	dir, files := t.TempDir(), 0
	for file := range strings.SplitSeq(strings.TrimRight(run(t, ".", "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"), "\x00"), "\x00") {
		ignored, err := matcher.MatchesOrParentMatches(file)
		if err != nil {
			t.Fatal(err)
		}
		if ignored {
			continue
		}
		content, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			continue // removed from the working tree
		}
		files++
		write(t, filepath.Join(dir, file), content, 0o644)
	}
	if files < 500 {
		t.Fatalf("%d files are in the build", files)
	}
	return dir
}

func write(t *testing.T, file string, content []byte, mode fs.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, content, mode); err != nil {
		t.Fatal(err)
	}
}

// buildImage tries each step: COPY copies files between directories, and RUN runs the command in the stage's directory, with /out in it. Every other
// instruction must be one that changes the image's settings only.
func buildImage(t *testing.T, arguments map[string]string) image {
	t.Helper()
	sources, made := buildContext(t), make(map[string]string)
	var last image
	for _, stage := range stages(t) {
		last = image{dir: t.TempDir()}
		made[stage.Name] = last.dir
		workdir := "/"
		variables := map[string]string{}
		for _, command := range stage.Commands {
			switch c := command.(type) {
			case *instructions.WorkdirCommand:
				workdir = c.Path
			case *instructions.ArgCommand:
				for _, argument := range c.Args {
					variables[argument.Key] = arguments[argument.Key]
				}
			case *instructions.CopyCommand:
				from := sources
				if c.From != "" {
					from = made[c.From]
				}
				dest := c.DestPath
				if !path.IsAbs(dest) {
					dest = workdir + "/" + dest
				}
				for _, source := range c.SourcePaths {
					copyStep(t, from, source, last.dir, dest)
				}
			case *instructions.RunCommand:
				line := strings.ReplaceAll(strings.Join(c.CmdLine, " "), "/out", filepath.Join(last.dir, "out"))
				cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", line)
				cmd.Dir = filepath.Join(last.dir, workdir)
				cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "GOFLAGS=") })
				for name, value := range variables {
					cmd.Env = append(cmd.Env, name+"="+value)
				}
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("RUN %s: %v\n%s", line, err, out)
				}
			case *instructions.EnvCommand:
				for _, kv := range c.Env {
					last.env = append(last.env, kv.Key+"="+kv.Value)
				}
			case *instructions.UserCommand:
				last.user = c.User
			case *instructions.ExposeCommand:
				last.ports = append(last.ports, c.Ports...)
			case *instructions.EntrypointCommand:
				last.entrypoint = c.CmdLine
			case *instructions.CmdCommand:
				last.command = c.CmdLine
			case *instructions.HealthCheckCommand:
				last.health = c.Health.Test
			default:
				t.Fatalf("no step for %s", command.Name())
			}
		}
	}
	return last
}

// copyStep copies a file, or the content of a directory, as COPY does.
func copyStep(t *testing.T, from, source, to, dest string) {
	t.Helper()
	full := filepath.Join(from, source)
	info, err := os.Stat(full)
	if err != nil {
		t.Fatal(err)
	}
	if info.IsDir() {
		if err := os.MkdirAll(filepath.Join(to, dest), 0o755); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.CommandContext(t.Context(), "cp", "-r", full+"/.", filepath.Join(to, dest)).CombinedOutput(); err != nil {
			t.Fatalf("cp: %v\n%s", err, out)
		}
		return
	}
	if strings.HasSuffix(dest, "/") {
		dest = path.Join(dest, path.Base(source))
	}
	content, err := os.ReadFile(full)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(to, dest), content, info.Mode())
}

// TestDockerfile_Steps tries the steps of the Dockerfile and then runs the program of the image as a container would: its entry point, its command and
// its settings, and its health check, which fails before and after.
func TestDockerfile_Steps(t *testing.T) {
	const build = "v0.0.0-test"
	built := buildImage(t, map[string]string{"BUILD": build})
	if built.user != "65532:65532" || !slices.Equal(built.ports, []string{"7460", "7461"}) {
		t.Errorf("user %q, ports %q", built.user, built.ports)
	}
	var files []string
	err := filepath.WalkDir(built.dir, func(file string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, strings.TrimPrefix(file, built.dir))
		}
		return err
	})
	if err != nil || !slices.Equal(files, []string{"/usr/bin/core"}) {
		t.Fatalf("the image has %q (%v)", files, err)
	}
	program := filepath.Join(built.dir, built.entrypoint[0])
	info, err := os.Stat(program)
	if err != nil {
		t.Fatal(err)
	}
	const most = 34_500_000
	t.Logf("the program has %.1f MB", float64(info.Size())/1e6)
	if info.Size() > most || info.Mode()&0o111 == 0 {
		t.Errorf("the program has %d bytes, at most %d, and mode %v", info.Size(), most, info.Mode())
	}
	if out, err := exec.CommandContext(t.Context(), "file", program).Output(); err == nil && (!strings.Contains(string(out), "statically linked") || !strings.Contains(string(out), "stripped")) {
		t.Errorf("the program is not static and stripped: %s", out)
	}

	container := func(ctx context.Context, argv []string, more ...string) *exec.Cmd {
		cmd := exec.CommandContext(ctx, filepath.Join(built.dir, argv[0]), argv[1:]...)
		cmd.Env = append(slices.Clone(built.env), more...)
		return cmd
	}
	if out, err := container(t.Context(), []string{built.entrypoint[0], "version"}).Output(); err != nil || !strings.Contains(string(out), " build "+build+" ") {
		t.Errorf("version: %v, %s", err, out)
	}
	if built.health[0] != "CMD" {
		t.Fatalf("the health check is %q: there is no shell", built.health)
	}
	api, admin := free(t), free(t)
	settings := []string{"CHATCORE_LISTEN=0.0.0.0:" + api, "CHATCORE_ADMIN=0.0.0.0:" + admin}
	healthy := func() bool { return container(t.Context(), built.health[1:], settings...).Run() == nil }
	if healthy() {
		t.Error("healthy before it runs")
	}
	if out, err := container(t.Context(), append(slices.Clone(built.entrypoint), built.command...), settings...).CombinedOutput(); err == nil || !strings.Contains(string(out), "tokens") {
		t.Errorf("it serves other hosts without tokens: %v\n%s", err, out)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	serve := container(ctx, append(append(slices.Clone(built.entrypoint), built.command...), "--embedded"), append(settings, `CHATCORE_TOKENS_ENTRIES={"tokens":[{"id":"shop","sha256":"`+strings.Repeat("0", 64)+`","scopes":["chats:read"]}]}`, "CHATCORE_BEHIND_PROXY=true")...)
	var log bytes.Buffer
	serve.Stderr = &log
	serve.Cancel = func() error { return serve.Process.Signal(os.Interrupt) }
	serve.WaitDelay = time.Minute
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(2 * time.Minute)
	for !healthy() {
		if time.Now().After(deadline) {
			t.Fatalf("not healthy within 2 minutes\n%s", &log)
		}
	}
	stop()
	if err := serve.Wait(); err != nil && serve.ProcessState.ExitCode() != 0 {
		t.Errorf("serve: %v\n%s", err, &log)
	}
	if healthy() {
		t.Error("healthy after it has ended")
	}
}

// free returns a loopback port that nothing listens on.
func free(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// TestBuild_Reproducible builds the program in the project and in a copy of its sources elsewhere: the bytes are the same, and have neither path.
func TestBuild_Reproducible(t *testing.T) {
	here, there, copied := t.TempDir(), t.TempDir(), buildContext(t)
	build := func(dir, out string) []byte {
		cmd := exec.CommandContext(t.Context(), "make", "build", "BIN="+out, "BUILD=v0.0.0-test")
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("make build: %v\n%s", err, out)
		}
		program, err := os.ReadFile(filepath.Join(out, "core"))
		if err != nil {
			t.Fatal(err)
		}
		return program
	}
	one, two := build(root, here), build(copied, there)
	if !bytes.Equal(one, two) {
		t.Errorf("builds of %d and %d bytes differ", len(one), len(two))
	}
	project, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{project + "/", copied} {
		if bytes.Contains(one, []byte(path)) {
			t.Errorf("the program has the path %s", path)
		}
	}
}

// TestPages_Written writes the scripts of completion and the manual pages.
func TestPages_Written(t *testing.T) {
	dir := t.TempDir()
	run(t, ".", "make", "completions", "man", "BIN="+dir)
	for file, want := range map[string]string{
		"completions/core.bash": "complete -o default", "completions/_core": "#compdef core", "completions/core.fish": "complete -c core",
		"man/core.1": ".TH \"CORE\" \"1\"", "man/core-serve.1": "--admin", "man/core-chat-create.1": "SEE ALSO",
	} {
		text, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s has no %q (%v)", file, want, err)
		}
		if strings.Contains(string(text), dir) {
			t.Errorf("%s has the directory", file)
		}
	}
}
