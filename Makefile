# Everything is built from the Go module proxy with one set of flags, so that
# the program, the tests and the lab's tools share one build cache. They are the
# flags of Pulumi's Go language host: `pulumi up` then finds the program built.
export CGO_ENABLED := 0
export GOFLAGS := -trimpath -buildvcs=false

# SERVER is the server that load, profile, simulate, stage-model and verify are for, in a stack of several.
SERVER_FLAG = $(if $(SERVER),-server "$(SERVER)")

# The tests of the module tests that need the lab: those that import it, or the package that builds its programs.
# TESTED lists each package that has tests, with what its tests import.
TESTED := go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}} {{.TestImports}} {{.XTestImports}}{{end}}' ./...
IMPORTS_LAB := '[[ ]vllm-autoscaling/tests/lab(/tools)?[] ]'

.PHONY: help demo load profile simulate preview preflight record-previews recover stage-model verify destroy test test-fast test-lab tools versions vet lint golden config-docs fuzz bench-build bench-simulate bench-policy clean

help: ## Show the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## Deploy to a cluster of its own, apply load, watch it scale, destroy. STACK=gke|eks|aks on a simulated cloud. KEEP=1 leaves it running.
	cd tests && go run ./lab/cmd/buildtools -demo ../bin/demo -stack $(or $(STACK),local)
	@exec bin/demo $(if $(KEEP),--keep) $(DEMO_FLAGS)

load: ## Load a deployed stack's server and report: STACK=<stack> [SERVER=name] [LOAD_FLAGS="-ramp 0:20:5m"]; see docs/load.md.
	@cd ops && go build -o ../bin/load ./cmd/load
	@exec bin/load -stack "$(STACK)" $(SERVER_FLAG) $(LOAD_FLAGS)

profile: ## Measure one ready replica of a deployed stack, for make simulate: STACK=gke PROFILE=profile.json [PROFILE_FLAGS="-length 2m"]; see docs/simulate.md.
	@cd ops && go build -o ../bin/profile ./cmd/profile
	@exec bin/profile -stack "$(STACK)" $(SERVER_FLAG) -o "$(PROFILE)" $(PROFILE_FLAGS)

simulate: ## What a stack's configuration would cost on a trace, and which objective it would keep: STACK=gke TRACE=file; see docs/simulate.md.
	@cd ops && go build -o ../bin/simulate ./cmd/simulate
	@exec bin/simulate -stack "$(STACK)" $(SERVER_FLAG) -trace "$(TRACE)" $(SIM_FLAGS)

preview: ## What a change of a stack would do, with policy and cost: STACK=gke. PREVIEW_FLAGS="--format markdown".
	@cd ops && go build -o ../bin/preview ./cmd/preview
	@exec bin/preview --stack $(or $(STACK),$(error say which stack: make preview STACK=gke)) $(PREVIEW_FLAGS)

preflight: ## What a cloud's account lacks of what a stack would create, and nothing else: STACK=gke. PREVIEW_FLAGS="--format json".
	@cd ops && go build -o ../bin/preview ./cmd/preview
	@exec bin/preview --stack $(or $(STACK),$(error say which stack: make preflight STACK=gke)) --preflight only --fail-on preflight $(PREVIEW_FLAGS)

recover: ## What a killed command has left of a stack, and mend it when told: STACK=name, RECOVER_FLAGS=--yes; see docs/recovery.md.
	@cd ops && go build -o ../bin/recover ./cmd/recover
	@exec bin/recover --stack "$(STACK)" $(RECOVER_FLAGS)

stage-model: ## Fill the bucket or claim of a deployed stack's server with its model: STACK=gke [SERVER=name], STAGE_FLAGS=-again; see docs/cold-start.md.
	@cd ops && go build -o ../bin/stagemodel ./cmd/stagemodel
	@exec bin/stagemodel -stack "$(STACK)" $(SERVER_FLAG) $(STAGE_FLAGS)

verify: ## Walk a deployed stack's path from the API server to the HPA: STACK=name [SERVER=name], VERIFY_FLAGS="--wait 15m --json".
	cd ops && go build -o ../bin/verify ./cmd/verify
	@exec bin/verify --stack "$(STACK)" $(SERVER_FLAG) $(VERIFY_FLAGS)

destroy: ## Destroy a stack, and name what keeps Kubernetes from deleting its namespaces: STACK=name, DESTROY_FLAGS="--look" only names it.
	@cd ops && go build -o ../bin/destroy ./cmd/destroy
	@exec bin/destroy --stack "$(STACK)" $(DESTROY_FLAGS)

test: vet test-fast test-lab ## Everything: unit, engine, rules, and end to end on the lab.

# The comparison with Kubernetes' own controller prints how much it compared.
test-fast: ## Unit, engine and rule tests, without the lab.
	go test ./...
	cd ops && go test ./...
	cd tests && go test -short -timeout 30m $$($(TESTED) | grep -Ev $(IMPORTS_LAB) | cut -d ' ' -f 1 | grep -v /hpacontroller$$)
	cd tests && go test -v ./hpacontroller

# Three labs at a time: each of them waits most of the time.
test-lab: tools ## End to end: real control plane, Prometheus, adapter, HPA and Pulumi CLI.
	cd tests && go test -count=1 -p 1 -parallel 3 -timeout 75m $$($(TESTED) | grep -E $(IMPORTS_LAB) | cut -d ' ' -f 1)

tools: ## Build the lab's tools that are missing.
	cd tests && go run ./lab/cmd/buildtools

versions: ## Raise what the modules have in common to one version, after an upgrade in one of them.
	cd tests && go run ./lab/cmd/alignversions

vet: ## go vet on the three modules.
	go vet ./...
	cd ops && go vet ./...
	cd tests && go vet ./...

lint: ## golangci-lint on the three modules.
	cd tests/lab/tools/golangci-lint && go build -o ../../../../bin/golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	bin/golangci-lint run ./...
	cd ops && ../bin/golangci-lint run --config ../.golangci.yaml ./...
	cd tests && ../bin/golangci-lint run --config ../.golangci.yaml ./...

golden: ## Rewrite the golden previews after a change that is meant.
	cd tests && UPDATE_GOLDEN=1 go test ./engine/...

record-previews: tools ## Record again in the lab what the CLI prints for the tests of the preview; STACKS=gke,local for some.
	cd tests && go run ./lab/cmd/recordpreviews $(if $(STACKS),-stacks $(STACKS))

config-docs: ## Rewrite docs/configuration.md, docs/stack.schema.json and the config section of Pulumi.yaml from the fields of package stacks/config.
	cd tests && UPDATE_EFFECTS=1 go test -count=1 -run TestEffects ./engine && go run ./cmd/configdocs ..

fuzz: ## Fuzz the reading of configurations and stack files, FUZZ executions of each (1000000); the first build takes minutes.
	go test -run xxx -fuzz FuzzRead -fuzztime $(or $(FUZZ),1000000)x ./stacks/config
	go test -run xxx -fuzz FuzzStackFile -fuzztime $(or $(FUZZ),1000000)x ./stacks/config

bench-build: tools ## Measure cold build, rebuild and no-op preview against their goals.
	cd tests && go run ./lab/cmd/benchbuild

bench-simulate: tools ## Compare simulations with the lab: TRACES="file file@2" for traces, at twice their speed; BENCH_FLAGS="-length 4m -check".
	cd tests && go run ./lab/cmd/benchsimulate $(addprefix -trace ,$(abspath $(TRACES))) $(BENCH_FLAGS)

bench-policy: ## Compare the defaults with other policies on several machines and loads: TRACES="file file" for traces; BENCH_FLAGS="-seed 2"; see docs/policies.md.
	@cd ops && go build -o ../bin/policies ./cmd/policies
	@exec bin/policies $(addprefix -trace ,$(TRACES)) $(BENCH_FLAGS)

clean: ## Remove what the targets above left in the tree.
	rm -rf bin demo-report load-report
