# Pollux: make help lists the targets.
.DEFAULT_GOAL := help
SHELL := /bin/sh

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION)

DEMO_PACKAGES := redis-server rrdcached rrdtool snmpd
TEST_PACKAGES := $(DEMO_PACKAGES) snmp mariadb-server postgresql prometheus
E2E_PACKAGES := docker.io docker-compose debootstrap iptables rrdtool
LINT := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

# Debian keeps servers where an ordinary user's PATH does not look.
export PATH := $(PATH):/usr/sbin:/sbin

DURATION ?=
DEMO_DIR ?= ./demo-data
BENCHTIME ?= 1s
FAULTS_AT_ONCE ?= 4
CALM_FAULTS := RedisAway|LostAcksOfLongSlots|RedisHangsInLongSlots
FAULTS_DATA_AT_ONCE ?= 12
FUZZTIME ?= 60s
FUZZ_WORKERS ?= 2

.PHONY: help
help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build bin/pollux
	@mkdir -p bin
	CGO_ENABLED=0 go build -trimpath -tags gosnmp_nodebug -ldflags '$(LDFLAGS)' -o bin/pollux ./cmd/pollux

.PHONY: demo
demo: ## Poll 50 simulated devices every 10 s into ./demo-data; DURATION=60s ends by itself
	@packaging/apt.sh $(DEMO_PACKAGES)
	@$(MAKE) --no-print-directory build
	@exec ./bin/pollux demo --data-dir $(DEMO_DIR) $(if $(DURATION),--duration $(DURATION))

.PHONY: compose-env
compose-env: ## Write .env with new passwords for docker-compose.yml; PROFILES=demo,sentinel,...
	@PROFILES='$(PROFILES)' PROJECT='$(PROJECT)' LOCAL='$(LOCAL)' ./packaging/compose/env.sh

.PHONY: compose-local
compose-local: ## Make the images that packaging/compose/local.yml needs, without a registry of images
	@packaging/apt.sh debootstrap
	@./packaging/compose/local/images.sh

.PHONY: e2e
e2e: ## Run the cluster in containers, kill and cut off its parts, and judge it; as root, at most 25 minutes
	@packaging/apt.sh $(E2E_PACKAGES)
	@./packaging/compose/e2e.sh

.PHONY: e2e-guide
e2e-guide: ## Do what docs/how-to/compose.md says: scale, upgrade, back up, restore, make mistakes; as root, at most 25 minutes
	@packaging/apt.sh $(E2E_PACKAGES)
	@./packaging/compose/e2e.sh guide

.PHONY: test-packages
test-packages:
	@packaging/apt.sh $(TEST_PACKAGES)

.PHONY: test
test: test-packages ## Install what the tests need and run them all
	go vet ./...
	go test -timeout 20m ./...
	@# What it reads is outside of its module: the cache of results would not see a change.
	cd packaging/compose/check && go test -count=1 ./...
	go test -tags faults -short -count=1 -timeout 10m -run '^TestFault(KillLeader|KillConsumers)$$' ./cmd/pollux

.PHONY: test-race
test-race: test-packages ## Run all tests under the race detector
	@command -v gcc >/dev/null || packaging/apt.sh gcc libc6-dev
	CGO_ENABLED=1 go test -race -timeout 40m ./...

.PHONY: faults
faults: test-packages ## Freeze, kill and part the processes of clusters under load; at most 25 minutes
	@packaging/apt.sh iproute2
	go test -tags faults -c -o bin/faults.test ./cmd/pollux
	@# Redis is away for ten minutes in which nothing happens, and slots of 300 s ask for little: these run beside all
	@# others. TestFaultGroupsMove, which measures milliseconds, comes before those that run side by side.
	@cd cmd/pollux && { ../../bin/faults.test -test.timeout 25m -test.v -test.parallel 2 -test.run '^TestFault($(CALM_FAULTS))$$' & calm=$$!; code=0; \
	../../bin/faults.test -test.timeout 25m -test.v -test.parallel $(FAULTS_AT_ONCE) -test.run '^TestFault' -test.skip '^TestFault($(CALM_FAULTS)|BillingNodes)$$' || code=1; \
	wait $$calm || code=1; exit $$code; }

.PHONY: faults-billing
faults-billing: test-packages ## Kill and switch the nodes that read billed ports, and compare each sample; about 15 minutes
	go test -tags faults -count=1 -timeout 25m -run '^TestFaultBillingNodes$$' -v ./cmd/pollux

.PHONY: faults-data
faults-data: test-packages ## Take away RRDCached, the recorder, Redis and the database, and compare what the files have; at most 30 minutes
	@packaging/apt.sh gcc libc6-dev iproute2
	go test -tags faults -c -o bin/faults.test ./cmd/pollux
	@# TestSoakWithDyingServers asks for as much as five of the others, and so runs before them.
	@code=0; { cd cmd/pollux && ../../bin/faults.test -test.timeout 10m -test.v -test.run '^TestSoak'; } & soak=$$!; \
	go test -count=1 -timeout 4m -run '^TestSickCounters' -v ./poller ./consumer || code=1; wait $$soak || code=1; \
	cd cmd/pollux && ../../bin/faults.test -test.timeout 26m -test.v -test.parallel $(FAULTS_DATA_AT_ONCE) -test.run '^TestData[A-Z]' || code=1; exit $$code

.PHONY: mutate
mutate: test-packages ## Break one rule of the journal at a time, and see that its test fails; ONLY=part of a name
	@./packaging/mutate.sh "$(ONLY)"

.PHONY: fuzz
fuzz: ## Run every fuzz test for FUZZTIME=60s each; make test runs their seeds only
	@./packaging/fuzz.sh $(FUZZTIME) $(FUZZ_WORKERS)

.PHONY: fmt
fmt: ## Format the Go code
	gofmt -w $$(git ls-files '*.go')

.PHONY: lint
lint: ## Check format, vet and golangci-lint
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$unformatted" ] || { echo "not formatted: $$unformatted"; exit 1; }
	go vet ./...
	go run $(LINT) run ./...

.PHONY: bench
bench: test-packages ## CPU, allocations and PDUs per device
	@$(MAKE) --no-print-directory build
	@./packaging/bench.sh $(BENCHTIME)

.PHONY: corpus
corpus: build ## Compare what is read from recorded devices with what is expected; CORPUS=DIR
	@command -v python3 >/dev/null || packaging/apt.sh python3
	@[ -n "$(CORPUS)" ] || { echo "say where the recordings are: make corpus CORPUS=DIR"; exit 2; }
	@./packaging/corpus.sh "$(CORPUS)"
