package tests

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

const module = "chatcore"

// The parts that several layers share.
const (
	flights = "chatcore/internal/flight"
	backoff = "chatcore/internal/backoff"
	scans   = "chatcore/internal/bytescan"
)

// The vendors of the adapters.
const (
	goRedis   = "github.com/redis/go-redis/v9"
	watermill = "github.com/ThreeDotsLabs/watermill"
	otelAPI   = "go.opentelemetry.io/otel"
	uuids     = "github.com/google/uuid"
	breaker   = "github.com/sony/gobreaker"
	wire      = "github.com/google/wire"
	uniseg    = "github.com/rivo/uniseg" // grapheme clusters
	rpc       = "connectrpc.com"
	protobuf  = "google.golang.org/protobuf"
	everyone  = "*"
	jwts      = "github.com/golang-jwt/jwt/v5"
	jwtKeys   = "github.com/MicahParks"
	minio     = "github.com/minio/minio-go/v7"
	zstd      = "github.com/klauspost/compress/zstd"

	pureCore = "chatcore/adapters/pubsub/delivery"
	groupRun = "chatcore/adapters/pubsub/group"

	keyspace  = "chatcore/adapters/redis/keyspace"
	rediscmd  = "chatcore/adapters/redis/rediscmd"
	redisConn = "chatcore/adapters/redis/conn"
)

// layers lists the imports that the files of a folder may have beside the standard library and their own folder, as prefixes of whole path elements.
// A folder belongs to the longest entry that it is under.
var layers = map[string][]string{
	"domain":              {"golang.org/x/text", uniseg},
	"ports":               {"chatcore/domain"},
	"ports/groups":        {"chatcore/domain", "chatcore/ports"},
	"ports/porttest":      {"chatcore/domain", "chatcore/ports", "golang.org/x/sync", "pgregory.net/rapid"},
	"internal/flight":     {},
	"internal/backoff":    {},
	"internal/bytescan":   {},
	"app":                 {"chatcore/domain", "chatcore/ports", "chatcore/app/cache", "chatcore/app/entity", "chatcore/app/projection", flights, backoff},
	"app/projection":      {"chatcore/domain", "chatcore/ports", "chatcore/app/entity", "golang.org/x/sync"},
	"app/entity":          {"chatcore/domain", "chatcore/ports"},
	"app/cache":           {"chatcore/domain", "chatcore/ports", flights, backoff},
	"app/feed":            {"chatcore/domain", "chatcore/ports", "chatcore/app", flights, backoff},
	"adapters/wireformat": {"chatcore/domain", "chatcore/ports", scans, "github.com/vmihailenco/msgpack"},
	"adapters/redis":      {"chatcore/domain", "chatcore/ports", "chatcore/adapters/wireformat", "chatcore/adapters/redis", backoff, goRedis, otelAPI, uuids, wire},

	"adapters/redis/keyspace":     {"chatcore/domain", "chatcore/ports", "chatcore/adapters/wireformat"},
	"adapters/redis/rediscmd":     {"chatcore/domain", "chatcore/ports", goRedis},
	"adapters/redis/conn":         {"chatcore/ports", backoff, rediscmd, goRedis},
	"adapters/redis/health":       {"chatcore/ports", "chatcore/adapters/wireformat", backoff, keyspace, rediscmd, redisConn, goRedis},
	"adapters/redis/attempt":      {"chatcore/domain", "chatcore/ports", keyspace, rediscmd, goRedis},
	"adapters/redis/feedstate":    {"chatcore/ports", keyspace, rediscmd, goRedis},
	"adapters/redis/relay":        {"chatcore/ports", keyspace, rediscmd, backoff, goRedis, uuids},
	"adapters/redis/definitions":  {"chatcore/domain", "chatcore/ports", keyspace, rediscmd, goRedis},
	"adapters/redis/limit":        {"chatcore/ports", keyspace, rediscmd, goRedis},
	"adapters/redis/typing":       {"chatcore/domain", "chatcore/ports", keyspace, rediscmd, goRedis},
	"adapters/redis/presence":     {"chatcore/domain", "chatcore/ports", "chatcore/adapters/wireformat", keyspace, rediscmd, goRedis, otelAPI, uuids},
	"adapters/redis/session":      {"chatcore/domain", "chatcore/ports", keyspace, rediscmd, goRedis},
	"adapters/redis/cache":        {"chatcore/domain", "chatcore/ports", keyspace, rediscmd, goRedis},
	"adapters/redis/view":         {"chatcore/domain", "chatcore/ports", keyspace, rediscmd, goRedis},
	"adapters/redis/effect":       {"chatcore/domain", "chatcore/ports", keyspace, rediscmd, goRedis},
	"adapters/redis/kv":           {"chatcore/ports", keyspace, rediscmd, redisConn, goRedis},
	"adapters/redis/internal/rig": {everyone},

	"adapters/pubsub":              {"chatcore/domain", "chatcore/ports", "chatcore/adapters/wireformat", pureCore, groupRun, watermill, breaker},
	"adapters/pubsub/delivery":     {"chatcore/domain", "chatcore/ports", backoff},
	"adapters/pubsub/group":        {"chatcore/domain", "chatcore/ports", "chatcore/adapters/wireformat", pureCore, backoff, uuids},
	"adapters/pubsub/redisgroup":   {"chatcore/domain", "chatcore/ports", "chatcore/adapters/wireformat", rediscmd, goRedis},
	"adapters/pubsub/memgroup":     {"chatcore/domain", "chatcore/ports", "chatcore/adapters/wireformat"},
	"adapters/pubsub/live":         {"chatcore/domain", "chatcore/ports", "chatcore/adapters/wireformat", backoff, watermill, goRedis, wire},
	"adapters/subscribers/webhook": {"chatcore/domain", "chatcore/ports", "chatcore/adapters/wireformat", groupRun, "chatcore/adapters/subscribers", uuids},
	"adapters/subscribers/pull":    {"chatcore/domain", "chatcore/ports", groupRun, "chatcore/adapters/subscribers", backoff, uuids},
	"adapters/subscribers":         {"chatcore/domain", "chatcore/ports", "chatcore/adapters/wireformat", pureCore, groupRun, backoff},
	"adapters/memory":              {"chatcore/domain", "chatcore/ports", "chatcore/adapters/wireformat", wire},
	"adapters/connect/server":      {"chatcore/domain"},

	"adapters/vault":         {"chatcore/domain", "chatcore/ports", "chatcore/adapters/memory", "chatcore/adapters/vault/file"},
	"adapters/vault/archive": {"chatcore/domain", "chatcore/ports", "chatcore/adapters/wireformat", "chatcore/adapters/vault/object", backoff},
	"adapters/vault/erase":   {"chatcore/domain", "chatcore/ports", "chatcore/adapters/wireformat", "chatcore/adapters/vault/object"},
	"adapters/vault/file":    {"chatcore/domain", "chatcore/ports", "chatcore/adapters/vault/probe"},
	"adapters/vault/object":  {"chatcore/domain", "chatcore/ports", scans, zstd},
	"adapters/vault/probe":   {"chatcore/ports"},
	"adapters/vault/s3":      {"chatcore/domain", "chatcore/ports", "chatcore/adapters/vault/probe", minio},
	"adapters/logdir":        {"chatcore/domain", "chatcore/ports"},
	"adapters/vault/logcopy": {"chatcore/domain", "chatcore/ports", "chatcore/adapters/vault/object"},

	"adapters/telemetry": {"chatcore/domain", "chatcore/ports", "chatcore/app", otelAPI, wire},
	"app/findings":       {"chatcore/domain", "chatcore/ports"},
	"internal/calls":     {},
	"helpers":            {"chatcore/domain", "chatcore/ports", "chatcore/internal/calls", flights, watermill},
	".": {
		"chatcore/helpers", "chatcore/internal/calls",
		"chatcore/domain", "chatcore/ports", "chatcore/app", "chatcore/adapters", watermill, goRedis, uuids, otelAPI,
		wire,
	},

	"adapters/connect/auth": {"chatcore/domain", "chatcore/ports", "chatcore/app", backoff, jwts, jwtKeys},

	"adapters/connect/console": {"chatcore/domain", "chatcore/adapters/connect/auth"},
	"web/console":              {},

	"gen":              {"chatcore/gen", rpc, protobuf},
	"adapters/connect": {"chatcore", "chatcore/domain", "chatcore/ports", "chatcore/app", "chatcore/app/feed", "chatcore/gen", "chatcore/adapters/wireformat", "chatcore/adapters/connect", "chatcore/adapters/subscribers/pull", "chatcore/adapters/subscribers/webhook", rpc, protobuf, otelAPI},
	"consume":          {"chatcore/domain", "chatcore/gen", backoff, rpc, protobuf},
	"embedded":         {"chatcore", "github.com/alicebob/miniredis/v2"},
	"chatcoretest":     {"chatcore"},
	"cmd":              {everyone},
	"examples":         {everyone},
	"tests":            {everyone},
	"bench":            {everyone},
}

// faults returns every import of the sources that the layers do not allow. Tests of a layer may import their test dependencies, except for the pure
// layers, whose tests may use adapters but no vendor.
func faults(sources fs.FS) ([]string, error) {
	var found []string
	err := fs.WalkDir(sources, ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && d.Name() == "tools" {
			return fs.SkipDir
		}
		if d.IsDir() {
			return skipped(d.Name())
		}
		if !strings.HasSuffix(file, ".go") {
			return nil
		}
		source, err := fs.ReadFile(sources, file)
		if err != nil {
			return err
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, source, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range parsed.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if imported == goRedis && (spec.Name == nil || spec.Name.Name != "goredis") {
				found = append(found, fmt.Sprintf("%s imports go-redis under another name than goredis", file))
			}
			if why := forbidden(file, imported); why != "" {
				found = append(found, fmt.Sprintf("%s imports %s; %s", file, imported, why))
			}
		}
		return nil
	})
	return found, err
}

func forbidden(file, imported string) string {
	layer, known := layerOf(path.Dir(file))
	if !known {
		return path.Dir(file) + " is in no layer"
	}
	if standard(imported) || imported == path.Join(module, path.Dir(file)) {
		return ""
	}
	allowed := layers[layer]
	if strings.HasSuffix(file, "_test.go") {
		if !slices.Contains([]string{"domain", "ports", "ports/porttest", "internal/flight", "internal/backoff", "app", "app/projection", "app/entity", "app/cache"}, layer) {
			return ""
		}
		allowed = []string{module, "pgregory.net/rapid", "go.uber.org/goleak"}
	}
	for _, prefix := range allowed {
		if prefix == everyone || under(imported, prefix) && (prefix != module || strings.HasSuffix(file, "_test.go") || imported == module) {
			return ""
		}
	}
	return fmt.Sprintf("allowed there: the standard library, %s", strings.Join(allowed, ", "))
}

func layerOf(dir string) (string, bool) {
	for layer := dir; ; layer = path.Dir(layer) {
		if _, known := layers[layer]; known && (layer != "." || dir == ".") {
			return layer, true
		}
		if layer == "." {
			return "", false
		}
	}
}

func under(imported, prefix string) bool {
	return imported == prefix || strings.HasPrefix(imported, prefix+"/")
}

func standard(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return first != module && !strings.Contains(first, ".")
}

func TestLayersKeepApart(t *testing.T) {
	found, err := faults(os.DirFS(".."))
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range found {
		t.Error(fault)
	}
}

func TestAPlantedImportIsFound(t *testing.T) {
	for file, imports := range map[string][]string{
		"domain/a.go":                     {"chatcore/ports", goRedis, "github.com/google/uuid"},
		"domain/a_test.go":                {goRedis, "github.com/stretchr/testify"},
		"ports/a.go":                      {"chatcore/app", watermill + "/message"},
		"ports/porttest/a.go":             {"chatcore/adapters/redis", goRedis},
		"internal/flight/a.go":            {"chatcore/ports", "chatcore/internal/backoff", "golang.org/x/sync/errgroup"},
		"internal/backoff/a.go":           {"chatcore/domain"},
		"app/cache/a.go":                  {"chatcore/app", goRedis, "chatcore/adapters/redis", "chatcore/app/entity"},
		"app/feed/a.go":                   {"chatcore/adapters/wireformat", "chatcore/adapters/memory", goRedis},
		"app/entity/a.go":                 {"chatcore/app", "chatcore/app/projection", "chatcore/app/cache", "chatcore/internal/flight"},
		"app/projection/a.go":             {"chatcore/app", "chatcore/app/cache", "chatcore/adapters/memory"},
		"app/a.go":                        {"chatcore/adapters/wireformat", otelAPI, "chatcore"},
		"adapters/wireformat/a.go":        {"chatcore/app", goRedis},
		"adapters/redis/a.go":             {"chatcore/app", watermill, "chatcore/adapters/pubsub"},
		"adapters/redis/kv/a.go":          {"chatcore/adapters/redis/eventlog", watermill},
		"adapters/pubsub/a.go":            {"chatcore/app", "chatcore/adapters/redis"},
		"adapters/pubsub/redisgroup/a.go": {"chatcore/app", "chatcore/adapters/redis", "chatcore/adapters/pubsub", "chatcore/adapters/pubsub/group", watermill + "/message"},
		"adapters/pubsub/delivery/a.go":   {"chatcore/app", "chatcore/adapters/wireformat", "chatcore/adapters/pubsub/group", "chatcore/internal/flight", watermill + "/message", goRedis},
		"adapters/pubsub/live/a.go":       {"chatcore/app", "chatcore/adapters/redis", "chatcore/adapters/pubsub"},
		"adapters/memory/a.go":            {goRedis, "chatcore/app"},
		"adapters/telemetry/a.go":         {otelAPI + "x/sdk", goRedis},
		"adapters/other/a.go":             {"chatcore/domain"},
		"adapters/vault/a.go":             {minio, "chatcore/adapters/vault/s3", "chatcore/app"},
		"adapters/vault/archive/a.go":     {goRedis, minio, "chatcore/adapters/redis", "chatcore/adapters/vault/s3", "chatcore/adapters/pubsub/group"},
		"adapters/vault/file/a.go":        {minio, zstd, "chatcore/adapters/vault/object"},
		"adapters/vault/object/a.go":      {minio, "chatcore/adapters/vault", "chatcore/adapters/wireformat"},
		"adapters/connect/server/a.go":    {"chatcore", "chatcore/app", "golang.org/x/net/http2", "google.golang.org/protobuf/proto"},
		"app/findings/a.go":               {"chatcore/app", "chatcore/adapters/pubsub"},
		"helpers/a.go":                    {"chatcore", "chatcore/adapters/redis", goRedis},
		"internal/calls/a.go":             {"chatcore/ports", watermill + "/message"},
		"a.go":                            {"github.com/alicebob/miniredis/v2", "github.com/spf13/cobra", "chatcore/cmd/core", "chatcore/embedded"},
		"embedded/a.go":                   {"chatcore/adapters/redis", "github.com/spf13/cobra"},
		"utils/a.go":                      {"fmt"},
		"adapters/connect/auth/a.go":      {"chatcore", "chatcore/adapters/redis", "connectrpc.com/connect", goRedis},
	} {
		for _, imported := range imports {
			planted := fstest.MapFS{file: {Data: fmt.Appendf(nil, "package p\n\nimport goredis %q\n", imported)}}
			found, err := faults(planted)
			if err != nil {
				t.Fatal(err)
			}
			if len(found) != 1 || !strings.Contains(found[0], file) || !strings.Contains(found[0], imported) {
				t.Errorf("%s planted in %s: found %q", imported, file, found)
			}
		}
	}
	unnamed := fstest.MapFS{"adapters/redis/a.go": {Data: fmt.Appendf(nil, "package p\n\nimport redis %q\n", goRedis)}}
	if found, err := faults(unnamed); err != nil || len(found) != 1 {
		t.Errorf("go-redis under another name: found %q, error %v", found, err)
	}
}
