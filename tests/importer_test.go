package tests

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"chatcore"
)

// TestImporter_Builds builds another module that imports chatcore as the README says. It links neither the command line, nor the embedded Redis, nor a client of S3.
func TestImporter_Builds(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "go", args...) //nolint:gosec // constants
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	run("mod", "init", "example.test/shop")
	run("mod", "edit", "-require", "chatcore@v"+chatcore.Version, "-replace", "chatcore="+root)
	const program = `package main

import (
	"context"
	"log"

	"chatcore"
	"chatcore/domain"
)

func main() {
	ctx := context.Background()
	core, err := chatcore.New(ctx, chatcore.Config{Redis: chatcore.RedisConfig{URL: "redis://localhost:6379"}})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := core.Chats.Create(ctx, domain.Create{Chat: "garden", Actor: "ada"}); err != nil {
		log.Fatal(err)
	}
}
`
	sums, err := os.ReadFile(filepath.Join(root, "go.sum")) //nolint:gosec // of this repository
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"main.go": program, "go.sum": string(sums)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run("build", "-o", filepath.Join(dir, "shop"), ".")
	for imported := range strings.FieldsSeq(run("list", "-deps", ".")) {
		for _, unwanted := range []string{"github.com/spf13/cobra", "github.com/alicebob/miniredis", "github.com/knadh/koanf", "github.com/minio/minio-go"} {
			if under(strings.TrimSuffix(imported, "/v2"), unwanted) {
				t.Errorf("an importer links %s", imported)
			}
		}
	}
}

// TestProgram_LinksNoGRPC lists the packages of the program core: it exports telemetry over HTTP, and answers gRPC without Google's implementation.
func TestProgram_LinksNoGRPC(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "../cmd/core").Output()
	if err != nil {
		t.Fatal(err)
	}
	packages := strings.Fields(string(out))
	if len(packages) < 300 {
		t.Fatalf("%d packages", len(packages))
	}
	for _, linked := range packages {
		for _, unwanted := range []string{"google.golang.org/grpc", "google.golang.org/genproto", "github.com/grpc-ecosystem", "go.opentelemetry.io/contrib/exporters/autoexport"} {
			if under(linked, unwanted) {
				t.Errorf("the program links %s", linked)
			}
		}
	}
}
