.PHONY: help prepare build reproduce package completions man promtool systemd test quick race race-ci vet chaos interop e2e lint check bench mutants run socketio generate console proto proto-check proto-release redis compiler

lint := go tool -modfile=tools/go.mod golangci-lint
buf := clients/ts/node_modules/.bin/buf
node_modules := clients/ts/node_modules web/console/node_modules tests/interop/node/node_modules examples/socketio/node_modules examples/effects/node_modules

help:
	@echo 'run        a demo on an embedded Redis'
	@echo 'prepare    installs what tests need'
	@echo 'build      bin/core: static, stripped, reproducible, with the version of git'
	@echo 'package    the build, the image, deploy/ and the manual pages are checked'
	@echo 'reproduce  two builds in different directories, with empty caches, are the same'
	@echo 'completions, man   bin/completions and bin/man'
	@echo 'test       all tests; starts private redis-servers'
	@echo 'quick      vet, tests without Redis and one suite on Redis, within a minute'
	@echo 'check      lint, vet, all tests with the race detector'
	@echo 'race       all tests with the race detector'
	@echo 'chaos      minutes of faults; CHATCORE_CHAOS=10m'
	@echo 'interop    beside node-redis and Socket.IO; the client for TypeScript'
	@echo 'e2e        the web console in Chromium, with pictures of its pages'
	@echo 'bench      benchmarks beside other libraries'
	@echo 'mutants    tests against changed code'
	@echo 'lint       golangci-lint'
	@echo 'socketio   the example of Socket.IO servers'
	@echo 'generate   wire_gen.go'
	@echo 'console    the web console'
	@echo 'proto      Go and TypeScript of proto/'
	@echo 'proto-check    lint of proto/, no break of the released API, generated code fresh'
	@echo 'proto-release  image of the released API'

# The state of the sources in "core version". A build without git, as in an image, gets it from the caller.
BUILD ?= $(shell git describe --tags --always --dirty --match 'v*' 2>/dev/null)
BIN ?= bin

# The same command on the same sources writes the same bytes, whatever the directory: paths are trimmed, and no time or place is stamped.
build:
	CGO_ENABLED=0 GOFLAGS= go build -trimpath -buildvcs=false -ldflags '-s -w -X main.build=$(BUILD)' -o $(BIN)/core ./cmd/core

# Takes a few minutes: nothing is shared between the two builds.
reproduce:
	@sh scripts/reproduce.sh

# The program's size, the steps of the Dockerfile without an engine, the schemas of deploy/, the alerts, systemd's checks, manual pages.
package: promtool systemd
	cd tools/deploy && go test -count 1 -timeout 15m .

completions: build
	@mkdir -p $(BIN)/completions
	$(BIN)/core completion bash >$(BIN)/completions/core.bash
	$(BIN)/core completion zsh >$(BIN)/completions/_core
	$(BIN)/core completion fish >$(BIN)/completions/core.fish

man:
	CGO_ENABLED=0 GOFLAGS= go run -trimpath -tags man ./cmd/core man $(BIN)/man

# Installs the programs that tests need, and what the clients in TypeScript and the console need.
prepare: redis compiler promtool systemd $(node_modules)
	@sh scripts/ensure.sh chromium
	@sh scripts/ensure.sh postgresql

# All tests. They start private redis-servers on free loopback ports. tests/redistest compiles what shifts the clock of a server. Most of the time tests wait
# for servers and leases, so that three packages at once keep two cores busy.
test: redis compiler
	go test -p 3 -timeout 20m ./...

# What a change is tried with before the rest: no Redis but for the suite of the event log.
quick: redis compiler
	go vet ./...
	go test ./domain/... ./ports/... ./app/... ./adapters/memory ./adapters/wireformat ./chatcoretest ./examples/...
	go test -run 'TestEventLog$$' ./adapters/redis/eventlog

race: redis compiler
	go test -race -timeout 40m ./...

# As race, for the packages that need no Redis of their own: rules, use cases, cache engine, helpers, memory adapters, codec. race takes all of them.
race-ci: redis compiler
	go test -race -timeout 20m ./domain/... ./ports/... ./app/... ./internal/... ./helpers/... ./adapters/memory/... ./adapters/wireformat/... ./chatcoretest/... ./embedded/... ./tests/child/...

vet:
	go vet ./...
	go vet -tags interop ./tests/interop

# Processes, Redis, its data, disk, clock and rights, and the network fail while events are written and handled, for so long on a single server and on
# a Cluster each. The second test does the same to readers of feeds and two instances.
# CHATCORE_CHAOS_SEED gives the faults of an earlier run again.
chaos: export CHATCORE_CHAOS ?= 3m
chaos: redis compiler
	go test -p 1 -count 1 -timeout 60m -v ./tests/chaos ./tests/feeds
	go test -count 1 -timeout 60m -run TestChaos ./adapters/pubsub/group

# Beside services in TypeScript: a Node program with node-redis and Socket.IO. The client of clients/ts as it is published, in Node (20 or newer) and in
# Chromium. The web console, built again with the same result. examples/socketio with clients, while instances and Redis end. examples/effects with PostgreSQL,
# while its programs end. The checks of proto/ on planted changes.
interop: redis $(node_modules)
	@sh scripts/ensure.sh chromium
	@sh scripts/ensure.sh postgresql
	cd clients/ts && npm test
	cd web/console && npm run --silent check && node build.mjs e2e/output/again && diff -r dist e2e/output/again
	cd examples/socketio && npm run --silent build
	cd examples/effects && npm run --silent build
	go test -tags interop -count 1 -timeout 10m ./tests/interop

# The web console in Chromium, on core serve with an embedded Redis and with one that stops and starts again. axe looks for faults on each page, in light, in
# dark and at the width of a phone. The pictures are in web/console/e2e/output. About three minutes.
e2e: redis web/console/node_modules
	@sh scripts/ensure.sh chromium
	go build -o web/console/e2e/output/core ./cmd/core
	cd web/console && CHATCORE_CORE=$(CURDIR)/web/console/e2e/output/core npm run --silent e2e

lint:
	$(lint) run ./...

# What a change has to pass: format, vet, lint, generated code fresh (a test), tests with the race detector.
check: lint vet race

# Side by side with others, in a module of its own: docs/benchmarks.md. About 20 minutes; BENCH selects benchmarks by name. With CHATCORE_PLOTS=docs it
# writes the pictures and tables of that page. Without PostgreSQL, it leaves out the peer that needs it.
bench: BENCH ?= .
bench: redis
	-@sh scripts/ensure.sh postgresql
	cd bench && CHATCORE_PLOTS='$(abspath $(CHATCORE_PLOTS))' go test -run '^$$' -bench '$(BENCH)' -benchtime 1x -timeout 60m -v

# Runs tests against changed code and lists the changes that no test notices: of Go files in packages, of Lua scripts in adapters. Hours for all of it.
mutants: MUTANTS ?= domain app app/cache $(patsubst %/script,%,$(wildcard adapters/redis/*/script)) adapters/pubsub/redisgroup
mutants: redis
	cd tools && go run ./mutants -root .. $(MUTANTS)

run:
	go run ./cmd/core demo

# The example of Socket.IO servers, on two ports.
socketio: clients/ts/node_modules examples/socketio/node_modules
	cd clients/ts && npm run --silent build
	cd examples/socketio && npm run --silent build && npm start --silent

# Rewrites what is generated: wire_gen.go.
generate:
	go tool wire

# Rewrites web/console/dist from web/console/src and clients/ts/src. Everyone else uses the committed files and needs no Node.
console: clients/ts/node_modules web/console/node_modules
	cd web/console && npm run --silent check && npm run --silent build

# Rewrites gen/ and clients/ts/src/gen from proto/. Everyone else uses the committed code and needs neither Node nor buf.
proto: clients/ts/node_modules
	cd proto && ../$(buf) lint && ../$(buf) format -w && ../$(buf) generate

# Lint and format of proto/, no break of the released API, and the generated code fresh. It changes nothing.
proto-check: clients/ts/node_modules
	cd proto && ../$(buf) lint && ../$(buf) format --diff --exit-code && ../$(buf) breaking --against released.binpb
	@fresh=$$(mktemp -d) && trap 'rm -rf "$$fresh"' EXIT && mkdir "$$fresh/proto" && (cd proto && ../$(buf) generate -o "$$fresh/proto") && \
		diff -r gen "$$fresh/gen" && diff -r clients/ts/src/gen "$$fresh/clients/ts/src/gen" || { echo 'generated code is stale: run make proto' >&2; exit 1; }

# Writes the image of the API that proto-check compares with. It belongs to a release: afterwards, clients of this API exist.
proto-release: clients/ts/node_modules
	cd proto && ../$(buf) build --exclude-source-info -o released.binpb

$(node_modules): %/node_modules: %/package-lock.json
	@sh scripts/ensure.sh node
	cd $* && npm ci --no-audit --no-fund --loglevel=error
	touch $@

redis:
	@sh scripts/ensure.sh redis

promtool systemd:
	@sh scripts/ensure.sh $@

# The race detector and tests/redistest need a C compiler.
compiler:
	@sh scripts/ensure.sh compiler
