# make test is what CI runs (.ci/run). Tools are pinned here and not in go.mod: what checks the program is no part of it.

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK := golang.org/x/vuln/cmd/govulncheck@v1.8.0

# The stand-in for ory/x is a module of its own (internal/oidc/oryx/README.md). ./... does not reach it; its name does.
PACKAGES := ./... github.com/ory/x/...

# What ships: without HTTP/2, which a proxy in front would not speak to it and of which it fears the floods, and small where nothing is in a hurry:
# the command line, YAML, mail and attestation are not inlined. `make footprint` prints what that comes to.
TAGS  := nethttpomithttp2
SMALL := alecthomas goccy google tinylib go-viper wneessen
BUILD := CGO_ENABLED=0 go build -trimpath -tags $(TAGS) $(SMALL:%=-gcflags=github.com/%/...=-l) -ldflags='-s -w'

# SQLite is C that was translated. What it does with its own memory tells nothing of this program, and looking at it is half of a test's time.
UNWATCHED := -gcflags=modernc.org/...='-race=false -d=checkptr=0'

# How long each fuzz target runs in `make test` and in `make fuzz`.
FUZZ_SHORT ?= 3s
FUZZ_LONG  ?= 2m

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c

.PHONY: help setup lint unit fuzz-short test fuzz bench bench-http footprint vuln build docs
.NOTPARALLEL:

help: ## say what there is
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' Makefile | expand -t 16

setup: ## install what the tests need and the machine lacks
	@.ci/setup

test: setup lint unit fuzz-short ## everything: both databases, a real browser, the race detector

lint: ## gofmt, go vet, staticcheck, no skipped tests
	@bad=$$(gofmt -l .); [ -z "$$bad" ] || { echo "not formatted; run: gofmt -w" $$bad >&2; exit 1; }
	@! grep -rnE '\b[tbf]\.Skip(f|Now)?\(' --include='*.go' . || { echo "a skipped test hides; let it fail and say what mends it" >&2; exit 1; }
	go vet $(PACKAGES)
	go run $(STATICCHECK) $(PACKAGES)

unit: ## every test, shuffled, under the race detector (which needs cgo; the program does not)
	CGO_ENABLED=1 go test -race $(UNWATCHED) -shuffle=on -timeout=20m -tags $(TAGS) $(PACKAGES)

fuzz-short: ## some seconds of each fuzz target
	.ci/fuzz $(FUZZ_SHORT)

fuzz: ## minutes of each fuzz target
	.ci/fuzz $(FUZZ_LONG)

bench: ## time and memory of the protocol, in process
	go test -run '^$$' -bench . -benchmem ./internal/oidc/...

bench-http: setup ## requests a second beside bare net/http, on PostgreSQL
	cmd/loadgen/compare.sh

footprint: ## size of the binary, time to the first answer, idle memory
	cmd/loadgen/footprint.sh

vuln: ## known vulnerabilities in what is called (needs the vulnerability database from outside)
	go run $(GOVULNCHECK) ./...

build: ## one static binary, bin/portvakt
	$(BUILD) -o bin/portvakt ./cmd/portvakt

docs: ## write anew what is generated from the code
	go generate ./...
