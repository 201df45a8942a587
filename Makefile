# `make` alone lists what can be made. Only Go is needed, and bash.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

GO ?= go

# Packages to look at: make race PACKAGES=./processor
PACKAGES ?= ./...
# How long each fuzz target runs, or on how many inputs: make fuzz FUZZTIME=5m, FUZZTIME=100000x
FUZZTIME ?= 10s
# How many packages make test tests at once, and how many tests of one: more than there
# are cores, as some wait for time to pass.
CORES = $(shell getconf _NPROCESSORS_ONLN)
TESTED ?= $(shell echo $$((2 * $(CORES)))) -parallel $(shell echo $$((4 * $(CORES))))
# Random histories of the identity protocol that make test runs.
HISTORIES ?= 5000
# Flags of go test: make test TESTFLAGS=-v
TESTFLAGS ?=
# make chaos: how many rounds, from which on, and the seed of input and faults.
ROUNDS ?= 200
FROM ?= 1
# make rotations: how many of a followed log in a run, and how many runs.
ROTATIONS ?= 1000
RUNS ?= 1
SEED ?= 1
# What make check compares with.
SINCE_MAIN ?= origin/main
# Flags of make scale, which `go run ./integration/scale -h` lists.
SCALE ?=
# The profile that releases and benchmarks are optimised by. Tests are not: it has
# the compiler go over all dependencies once more.
PGO ?= cmd/handprint/release.pgo
# Flags of the benchmark, which `go run ./bench -h` lists: make bench BENCH='-n 2000000 -rounds 3'
BENCH ?=

.PHONY: help
help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build bin/handprint.
	$(GO) build -pgo=$(PGO) -o bin/handprint ./cmd/handprint

.PHONY: demo
demo: build ## Show transitions from a real Cowrie log, on a broker inside the process, until interrupted.
	@bin/handprint demo

.PHONY: test
test: lint ## Run the linters, all tests, and thousands of random identity histories.
	$(GO) test -p $(TESTED) $(TESTFLAGS) ./...
	$(GO) test $(TESTFLAGS) ./engine -run RandomHistories -rapid.checks=$(HISTORIES)

.PHONY: check
check: ## Check what has changed since SINCE_MAIN (origin/main, or the last commit): format, vet, staticcheck, its tests.
	@base=$$(git merge-base HEAD $(SINCE_MAIN) 2>/dev/null || git rev-parse HEAD); \
	files=$$( (git diff --name-only --diff-filter=d $$base -- '*.go'; git ls-files -o --exclude-standard -- '*.go') | sort -u); \
	[[ -n $$files ]] || { echo "no Go file has changed since $$base"; exit 0; }; \
	unformatted=$$(gofmt -l $$files); if [[ -n $$unformatted ]]; then echo "gofmt would change:" $$unformatted; exit 1; fi; \
	packages=$$(for f in $$files; do echo ./$${f%/*}; done | sort -u); echo $$packages; \
	$(GO) vet -tags integration,faults $$packages && $(GO) tool staticcheck $$packages && \
	$(GO) test -short $(TESTFLAGS) $$packages ./internal/conventions

.PHONY: lint
lint: ## Run gofmt, go vet and staticcheck.
	@unformatted=$$(gofmt -l .); if [[ -n $$unformatted ]]; then echo "gofmt would change:" $$unformatted; exit 1; fi
	$(GO) vet ./...
	$(GO) vet -tags integration,faults ./integration/... ./cmd/handprint
	$(GO) tool staticcheck ./...
	$(GO) tool staticcheck -tags integration,faults ./integration/... ./cmd/handprint

# Linters that are in a module of their own, since what they require is nobody else's concern.
TOOL = $(GO) tool -modfile=internal/tools/go.mod

.PHONY: lint-more
lint-more: ## Run errorlint, misspell, the rules of gosec that find real things, and go mod tidy -diff.
	$(GO) mod tidy -diff
	$(TOOL) misspell -error $$(git ls-files '*.go' '*.md')
	$(TOOL) go-errorlint ./...
	$(TOOL) gosec -quiet -include=G107,G110,G112,G114,G305,G402,G403 ./...

.PHONY: vuln
vuln: ## Look for known vulnerabilities in what is called, where the database can be reached.
	@out=$$($(TOOL) govulncheck ./... 2>&1) && echo "$$out" || { \
		if grep -q 'fetching vulnerabilities' <<<"$$out"; then echo "the database of vulnerabilities cannot be reached: left out"; else echo "$$out"; exit 1; fi; }

.PHONY: race
race: ## Run the tests of PACKAGES with the race detector.
	$(GO) test -race $(TESTFLAGS) $(PACKAGES)

.PHONY: conformance
conformance: ## Run the conformance vectors, those in the folder HANDPRINT_VECTORS if it is set.
	@export HANDPRINT_CONFORMANCE=all; $(if $(HANDPRINT_VECTORS),export HANDPRINT_VECTORS=$(abspath $(HANDPRINT_VECTORS)),unset HANDPRINT_VECTORS); \
	$(GO) test -count=1 -v -run Conformance ./... | grep -vE '^=== |^PASS$$|no tests? (to run|files)'

.PHONY: fuzz
fuzz: ## Run each fuzz target for FUZZTIME.
	@grep -rEo --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' . | sort | while IFS=: read -r file func; do \
		echo "$${file%/*} $${func#func }"; \
		$(GO) test "$${file%/*}" -run '^$$' -fuzz "^$${func#func }\$$" -fuzztime $(FUZZTIME) </dev/null; \
	done

# The tests, which audit, read the formats of the release to come as well (nextformat);
# the instances are built without, but for the newer ones of a rolling upgrade.
.PHONY: integration
integration: ## Run the tests against a real Kafka cluster: in containers, as processes, or HANDPRINT_BROKERS.
	$(GO) test -tags integration,nextformat -count=1 -timeout 90m $(TESTFLAGS) ./integration/...

.PHONY: chaos
chaos: ## Hurt a real cluster at random for ROUNDS rounds, and audit after each; SEED says what happens.
	$(GO) run ./integration/chaos -rounds $(ROUNDS) -from $(FROM) -seed $(SEED)

.PHONY: rotations
rotations: ## Follow a log through ROTATIONS rotations under load, with kills at random, RUNS times.
	$(GO) test -count=$(RUNS) -timeout 60m -v -run TestFollowingThroughManyRotationsAndKills ./ingest -args -rotations $(ROTATIONS)

# How often make restarts starts an application again.
RESTARTS ?= 1000

.PHONY: restarts
restarts: ## Start an application RESTARTS times while its changelog is compacted; no store may be rebuilt.
	$(GO) test -count=1 -run TestAHealthyStoreIsNeverRebuilt ./processor -args -restarts $(RESTARTS)

.PHONY: scale
scale: ## Show that four instances come to the same rows as one, and what 5 million rows take; SCALE has flags.
	$(GO) run ./integration/scale $(SCALE)

.PHONY: bench
bench: ## Measure the pipeline against a bare copy in transactions, a large merge, and single functions.
	$(GO) run -pgo=$(PGO) ./bench $(BENCH)
	$(GO) run -pgo=$(PGO) ./bench/merge
	$(GO) test -pgo=$(PGO) -run '^$$' -bench . -benchmem $(PACKAGES)

# Flags of bench/series: make bench-peers PEERS='-rounds 3,1'
PEERS ?=
# Flags of bench: make bench-others OTHERS='-rounds 1'
OTHERS ?=

.PHONY: bench-peers
bench-peers: ## Measure handprint against Kafka Streams and the bare copy with four loads, five rounds, each contender in 2 GiB: one table, with targets. Needs Java, Maven.
	$(GO) run ./bench/series $(PEERS)

.PHONY: bench-latency
bench-latency: ## Measure latency at 200, 2,000 and 20,000 observations a second beside Kafka Streams: one table. Needs Java, Maven.
	$(GO) run ./bench/series -latency $(PEERS)

.PHONY: bench-linked
bench-linked: ## Measure handprint with 0, 1 and 10 % of the attackers linked: one table. Needs Java, Maven.
	$(GO) run ./bench/series -linked -rounds 3 $(PEERS)

.PHONY: bench-others
bench-others: ## Measure all contenders once more, with latency and restarts, on a real broker. Needs Java, Maven, Python.
	$(GO) run -pgo=$(PGO) ./bench -real -contenders handprint,streams,group,python,copy,copy2 -hold 20s -warm 15s -restarts -n 1000000 -rounds 3 $(OTHERS)

.PHONY: peers-vectors
peers-vectors: ## Run the merge vectors through every peer. Needs Java, Maven, Python.
	$(GO) run ./bench/peers/group -vectors testdata/vectors/merge.jsonl
	python3 bench/peers/python/vectors.py testdata/vectors/merge.jsonl
	cd bench/peers/kafkastreams && mvn -q -B package dependency:copy-dependencies -DoutputDirectory=target/lib
	java -cp 'bench/peers/kafkastreams/target/peer-kafkastreams-1.jar:bench/peers/kafkastreams/target/lib/*' handprint.peer.Vectors testdata/vectors/merge.jsonl

.PHONY: bench-worst
bench-worst: ## Measure what the most expensive observations cost that we know of: CPU and changelog bytes. Ends with 1 if one is above the bounds.
	$(GO) run -pgo=$(PGO) ./bench/worst

# Folder for the state of bench-serve, which a million identities make 4 GB (with SQLite 7 GB), and its flags.
BENCH_SERVE_DIR ?= out/bench-serve
BENCH_SERVE ?=

.PHONY: bench-serve
bench-serve: ## Measure the read side with a million identities: starts, following, questions under load, live clients, SQLite beside it.
	$(GO) run ./bench/serve -dir $(BENCH_SERVE_DIR) -build
	$(GO) run ./bench/serve -dir $(BENCH_SERVE_DIR) -build -sqlite
	$(GO) run -pgo=$(PGO) ./bench/serve -dir $(BENCH_SERVE_DIR) $(BENCH_SERVE)

.PHONY: bench-scale
bench-scale: ## Measure at 10 thousand to 5 million identities and with 1, 2, 4 threads; draw docs/scale.svg.
	$(GO) run ./bench/scale

# What bench-release compares with: make bench-release SINCE=v0.2.0
SINCE ?= $(shell git describe --tags --abbrev=0 2>/dev/null)

.PHONY: bench-release
bench-release: ## Compare the benchmarks of single functions with those of the last release (SINCE), with benchstat.
	@mkdir -p out
	@[[ -n "$(SINCE)" ]] || { echo "There is no release yet: name a commit with SINCE=..."; exit 1; }
	@since=$(SINCE); tree=$$(mktemp -d); trap 'git worktree remove --force "$$tree"' EXIT; git worktree add -q --detach "$$tree" "$$since"; \
	(cd "$$tree" && $(GO) test -run '^$$' -bench . -benchmem -count 6 $(PACKAGES)) > out/bench-release.txt; \
	$(GO) test -run '^$$' -bench . -benchmem -count 6 $(PACKAGES) > out/bench-now.txt; \
	$(GO) run golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da out/bench-release.txt out/bench-now.txt

.PHONY: profile
profile: ## Take CPU and allocation profiles of the pipeline into out/profiles.
	@mkdir -p out/profiles
	$(GO) run -pgo=$(PGO) ./bench -hold 0 -profiles out/profiles $(BENCH)
	@echo "Look at one with: $(GO) tool pprof -http localhost:8000 FILE"; ls out/profiles/*

.PHONY: pgo
pgo: ## Take the profile that releases are optimised by anew, on a real broker.
	@mkdir -p out/pgo
	$(GO) run -pgo=off ./bench -real -threads 2 -contenders handprint -hold 0 -n 1000000 -profiles out/pgo/1m
	$(GO) run -pgo=off ./bench -real -threads 2 -contenders handprint -hold 0 -n 4000000 -profiles out/pgo/4m
	$(GO) run -pgo=off ./bench -real -threads 2 -contenders handprint -hold 0 -audit=false -attackers 1000000 -n 1500000 -profiles out/pgo/million
	$(GO) run ./bench/pgo -o $(PGO) out/pgo/*/cpu.pprof

.PHONY: cover
cover: ## Write the coverage of all tests to out/cover.html.
	@mkdir -p out
	$(GO) test -coverpkg=./... -coverprofile=out/cover.out ./... >/dev/null
	$(GO) tool cover -html=out/cover.out -o out/cover.html
	@$(GO) tool cover -func=out/cover.out | tail -n 1

.PHONY: image
image: ## Build the container image handprint:local from a binary built here; BASE=... for another base than scratch.
	@mkdir -p out/image/state
	CGO_ENABLED=0 $(GO) build -pgo=$(PGO) -trimpath -buildvcs=true -ldflags '-s -w' -o out/image/handprint ./cmd/handprint
	@cp deploy/image/Dockerfile out/image/ && { cp /etc/ssl/certs/ca-certificates.crt out/image/ 2>/dev/null || : >out/image/ca-certificates.crt; }
	docker build -q $(if $(BASE),--build-arg BASE=$(BASE)) --build-arg VERSION=$$(git describe --tags --always --dirty --match 'v[0-9]*' | sed 's/^v//') \
		--build-arg REVISION=$$(git rev-parse HEAD) --build-arg CREATED=$$(TZ=UTC git log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd) -t handprint:local out/image
	@docker image inspect -f '{{range $$k, $$v := .Config.Labels}}{{$$k}} {{$$v}}{{"\n"}}{{end}}' handprint:local

.PHONY: compose-check
compose-check: image ## Check docker-compose.yml and start what it can of it, the broker from HANDPRINT_KAFKA_IMAGE.
	deploy/compose-check

# The browser's tests: Debian's Chromium (CHROMIUM names another), Node.js, npm.
integration/browser/node_modules: integration/browser/package.json integration/browser/package-lock.json
	@cd integration/browser && npm ci --silent --no-audit --no-fund
	@touch $@

.PHONY: browser
browser: build integration/browser/node_modules ## Look at every page with a real browser: axe, both themes, forced colours, 320 px, keys, scripts off, live. Needs Node.js, npm and Chromium.
	@node integration/browser/check.mjs

.PHONY: pictures
pictures: build integration/browser/node_modules ## Make a picture of every page in both themes, in out/pictures.
	@node integration/browser/check.mjs --pictures out/pictures

.PHONY: ten-minutes
ten-minutes: build ## Follow docs/ten-minutes.md word for word on the broker at BROKER.
	@deploy/ten-minutes

# What a release is made for, as OS/ARCH.
PLATFORMS ?= linux/amd64 linux/arm64 darwin/arm64
# Where releases go.
DIST ?= dist

.PHONY: release
release: ## Make archives, Debian packages, a bill of materials and checksums of this commit in DIST; the same bytes each time.
	@deploy/release/make $(DIST) $(PLATFORMS)

.PHONY: release-check
release-check: ## Make a release for this machine twice, here and in a clone with an empty build cache (COLD=no: with this one), and compare.
	@deploy/release/check

.PHONY: ui
ui: ## Make the Go code of the pages from their templates, anew.
	$(TOOL) templ generate -path serve/ui

.PHONY: check-ui
check-ui: ui ## Check that the Go code of the pages is that of their templates.
	git diff --exit-code --stat -- serve/ui

# HELM names another helm than the one that Go builds: make chart-check HELM=helm
export HELM ?=

.PHONY: chart-check
chart-check: ## Lint and render the Helm chart with every example, check what comes out, and that broken values are refused. Needs Python.
	deploy/helm/check

# promtool of Prometheus, from here or, without installing anything, from Debian's package.
PROMTOOL ?= $(or $(shell command -v promtool),out/promtool/usr/bin/promtool)

out/promtool/usr/bin/promtool:
	@rm -rf out/promtool && mkdir -p out/promtool && cd out/promtool && apt-get download -qq prometheus 2>/dev/null && dpkg -x prometheus_*.deb . && rm prometheus_*.deb

.PHONY: rules-check
rules-check: $(PROMTOOL) ## Check the alert rules and run their cases, with promtool (PROMTOOL names it; else Debian's is fetched).
	@$(PROMTOOL) check config deploy/prometheus/prometheus.yml
	@$(PROMTOOL) test rules deploy/prometheus/rules_test.yml

.PHONY: manifests
manifests: ## Render the plain manifests in deploy/kubernetes from the chart.
	@cp deploy/prometheus/rules.yml deploy/helm/handprint/rules.yml
	@for name in minimal everything; do \
		$(or $(HELM),$(GO) run helm.sh/helm/v4/cmd/helm@v4.3.2) template soc deploy/helm/handprint --namespace handprint -f deploy/helm/examples/$$name.yaml >deploy/kubernetes/$$name.yaml; done

.PHONY: docs
docs: ## Write docs/configuration.md, docs/asyncapi.yaml and docs/metrics.md anew from what the code declares.
	$(GO) generate ./cmd/handprint
	$(GO) test ./internal/metrics -run ThePageIsCurrent -update
	$(GO) test ./serve -run TheDocumentIsThatOfTheCode -update
	$(GO) test ./internal/conventions -run ThePagePrintsTheOrder -update

# A virtual environment of Python with schemathesis.
out/schemathesis/ready: integration/schemathesis/requirements.txt
	@rm -rf out/schemathesis && python3 -m venv out/schemathesis
	@out/schemathesis/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

.PHONY: schemathesis
schemathesis: build out/schemathesis/ready ## Send what the API's document allows, and what it does not, to a demo, or to API=http://127.0.0.1:8480 TOKEN=hp_..., GET and HEAD alone unless WRITES=yes. Needs Python.
	@integration/schemathesis/run

.PHONY: breaking
breaking: ## Compare docs/openapi.json with that of the last release (SINCE): a removed path, field or value, or a new required parameter, ends with 1.
	@mkdir -p out
	@[[ -n "$(SINCE)" ]] || { echo "There is no release yet, so nothing can break: name a commit with SINCE=..."; exit 0; }; \
	git show "$(SINCE):docs/openapi.json" > out/openapi-before.json && $(GO) run github.com/oasdiff/oasdiff@v1.38.0 breaking --fail-on ERR out/openapi-before.json docs/openapi.json

.PHONY: check-docs
check-docs: ## Check that docs/configuration.md is fresh and that links between documents lead somewhere.
	@$(GO) run ./cmd/handprint reference | diff -u docs/configuration.md - || { echo "docs/configuration.md is out of date: make docs"; exit 1; }
	@$(GO) run ./cmd/handprint schemas asyncapi | diff -u docs/asyncapi.yaml - || { echo "docs/asyncapi.yaml is out of date: make docs"; exit 1; }
	@failed=0; \
	for page in $$(find . -name '*.md' -not -path './.git/*' -not -path './out/*' -not -path '*/node_modules/*'); do \
		while read -r link; do \
			[[ -e $$(dirname "$$page")/$$link ]] || { echo "$$page: no such file: $$link"; failed=1; }; \
		done < <(grep -oE '\]\([^)# ]+' "$$page" | cut -c3- | grep -v '^[a-z]*:' || true); \
	done; exit $$failed

# What of these tests needs a registry runs against a real one here, and against
# one inside the process in make test.
.PHONY: registry-check
registry-check: ## Run the tests of schemas against a real registry (HANDPRINT_REGISTRY, or one that is started). Needs Java and Maven.
	@$(GO) run ./integration/registry/with $(GO) test -count=1 -v -run 'Registry' ./schemas/registry ./cmd/handprint

.PHONY: connect-check
connect-check: build ## Let a real Kafka Connect worker copy the topics, and compare. Needs Java and Maven.
	@$(GO) run ./integration/connect

# A virtual environment of Python with what check.py needs.
out/fastavro/ready: integration/fastavro/requirements.txt
	@rm -rf out/fastavro && python3 -m venv out/fastavro
	@out/fastavro/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

.PHONY: fastavro-check
fastavro-check: build out/fastavro/ready ## Let fastavro read what handprint writes, and write what it reads. Needs Java, Maven and Python.
	@$(GO) run ./integration/fastavro -python out/fastavro/bin/python

.PHONY: fastavro-fixtures
fastavro-fixtures: out/fastavro/ready ## Have fastavro write anew the records that the tests of schemas read. Needs Python.
	@mkdir -p schemas/testdata/fastavro
	@out/fastavro/bin/python integration/fastavro/check.py fixtures schemas/avsc >schemas/testdata/fastavro/records.ndjson

# Flags of the records that make validate has judged: make validate VALIDATE='-n 25000 -seed 2'
VALIDATE ?=

# A virtual environment of Python with other people's validators.
out/validate/ready: integration/siem/requirements.txt
	@rm -rf out/validate && python3 -m venv out/validate
	@out/validate/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

.PHONY: validate
validate: ## Let the validators of OCSF, ECS, CEF, STIX and MISP judge 10,000 hostile events of each. Needs Python.
	@if ! command -v python3 >/dev/null; then echo "no python3: make validate is left out"; exit 0; fi; \
	$(MAKE) --no-print-directory build out/validate/ready && $(GO) run ./integration/siem $(VALIDATE)

# Flags of make sinks-check: make sinks-check SINKS='-only rsyslog -n 60000'
SINKS ?=

# Receivers that make sinks-check delivers to, as far as they can be had: rsyslog of
# Debian, VictoriaLogs of the Go proxy, medallion of PyPI, OpenSearch of Maven. The next
# make sinks-check tries again what could not be had.
RECEIVERS ?= rsyslog victorialogs medallion opensearch

out/sinks-tools/rsyslog/ready: Makefile
	@mkdir -p out/sinks-tools/rsyslog out/sinks-tools/debs
	@if command -v apt-get >/dev/null; then \
		(cd out/sinks-tools/debs && apt-get -qq download rsyslog rsyslog-openssl libestr0 libfastjson4 liblognorm5 2>/dev/null) && \
		for deb in out/sinks-tools/debs/*.deb; do dpkg -x "$$deb" out/sinks-tools/rsyslog || exit 1; done && \
		touch $@ || echo "no rsyslog: it is left out"; \
	fi

out/sinks-tools/victorialogs/ready: Makefile
	@mkdir -p $(@D)
	@GOBIN=$(abspath out/sinks-tools) $(GO) install github.com/VictoriaMetrics/VictoriaLogs/app/victoria-logs@v1.52.2 && touch $@ || echo "no VictoriaLogs: it is left out"

out/sinks-tools/medallion/ready: Makefile
	@mkdir -p $(@D)
	@if command -v python3 >/dev/null; then \
		python3 -m venv out/sinks-tools/python && out/sinks-tools/python/bin/pip install --quiet --disable-pip-version-check medallion==3.0.0 && touch $@ || echo "no medallion: it is left out"; \
	fi

out/sinks-tools/opensearch/ready: Makefile integration/sinks/opensearch/pom.xml integration/sinks/opensearch/Launcher.java
	@rm -rf $(@D) && mkdir -p $(@D)
	@if command -v mvn >/dev/null; then \
		mvn -q -B -f integration/sinks/opensearch/pom.xml dependency:copy-dependencies -DoutputDirectory=$(abspath out/sinks-tools/opensearch) && \
		javac -cp 'out/sinks-tools/opensearch/*' -d out/sinks-tools/opensearch integration/sinks/opensearch/Launcher.java && touch $@ || echo "no OpenSearch: it is left out"; \
	fi

.PHONY: sinks-check
sinks-check: build $(RECEIVERS:%=out/sinks-tools/%/ready) ## Deliver to real receivers (OpenSearch, rsyslog, VictoriaLogs, medallion) through faults, killing the sink and them, and compare.
	@$(GO) run ./integration/sinks $(SINKS)

.PHONY: asyncapi-check
asyncapi-check: ## Let AsyncAPI's own parser check docs/asyncapi.yaml. Needs Node.js and npm.
	@cd integration/asyncapi && npm ci --silent --no-audit --no-fund
	@node integration/asyncapi/check.mjs docs/asyncapi.yaml

.PHONY: clean
clean: ## Remove what was made.
	rm -rf bin out
