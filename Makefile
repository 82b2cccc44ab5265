# Postern. `make help` lists what there is; `make demo` and `make test` are all one needs on a fresh machine.
GO ?= go
PKGS ?= ./...
FUZZTIME ?= 20s
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
NFPM := github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.0
export CGO_ENABLED ?= 0

.PHONY: help build demo test check race fuzz bench e2e generate deb ci clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/postern
	$(GO) build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/postern ./cmd/postern

demo: build ## run the whole product against a small internet on loopback; pages stay open to browse
	./bin/postern demo

test: ## run all tests in shuffled order (PostgreSQL and Chromium are used when installed; .ci/run installs them)
	$(GO) test -shuffle=on -timeout 20m $(PKGS)

race: ## run all tests under the race detector (needs a C compiler)
	CGO_ENABLED=1 $(GO) test -race -shuffle=on -timeout 40m $(PKGS)

e2e: ## run the end-to-end tests only
	$(GO) test -shuffle=on -timeout 15m ./test/e2e/...

check: ## formatting, vet, staticcheck, the house's rules, generated files
	@out=$$(gofmt -l cmd internal test bench 2>/dev/null); if [ -n "$$out" ]; then echo "gofmt would change:"; echo "$$out"; exit 1; fi
	$(GO) vet $(PKGS)
	$(GO) run $(STATICCHECK) $(PKGS)
	$(GO) test -count=1 ./internal/house

generate: ## print the documents that come from the code
	$(GO) test ./internal/house -count=1 -run TestHouseDocument -update
	$(GO) test ./internal/config -count=1 -run TestDocuments -update
	$(GO) test ./test/docs -count=1 -update

fuzz: ## run every fuzz target for FUZZTIME (default 20s)
	@set -e; for f in $$(grep -rl --include='*_test.go' '^func Fuzz' internal); do dir=$$(dirname $$f); \
	  for t in $$(sed -n 's/^func \(Fuzz[A-Za-z0-9_]*\)(.*/\1/p' $$f); do echo "== ./$$dir $$t"; \
	    $(GO) test ./$$dir -run '^$$' -fuzz "^$$t\$$" -fuzztime $(FUZZTIME); done; done

bench: ## measure: rooms, then the gateway end to end (and Debian's Postfix beside it when it is installed)
	$(GO) test -run '^$$' -bench . -benchmem -benchtime 1s ./internal/...
	./bench/run

deb: build ## build dist/postern_VERSION_ARCH.deb
	mkdir -p dist
	VERSION=$$(echo $(VERSION) | sed 's/^v//; /^[0-9]/!s/^/0.0.0~/') GOARCH=$$($(GO) env GOARCH) $(GO) run $(NFPM) package --packager deb --config packaging/nfpm.yaml --target dist/

ci: ## what the continuous integration runs
	bash .ci/run

clean: ## remove what was built
	rm -rf bin dist
