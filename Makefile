# Every target sets up what it needs, or says in one line what is missing.

.PHONY: build demo demo-serve picture test test-all test-long bench truth check lint build-all dist install clean

build: ## the archive, so that go build and go test work on the Go packages
	@scripts/setup.sh
	@scripts/build-archive.sh

demo: build ## the main job: a leaking server, and what its profiles say
	@scripts/demo.sh

demo-serve: build ## the same, and leave the server up
	@scripts/demo.sh serve

picture: build ## docs/flame.png, by a headless browser
	@scripts/picture.sh

test: build ## what a contributor runs: every area, one or two rows of each matrix; the seconds that each part took
	@scripts/test.sh quick

test-all: build ## every test
	@scripts/test.sh all

test-long: build ## the same, with the long versions of stress and statistics
	@CGOHEAP_LONG=1 scripts/test.sh all

bench: build ## cgoheap and its peers side by side: a dated report in bench/results/; BENCH_QUICK=1 takes minutes less
	@scripts/bench.sh

truth: build ## docs/truth.md: estimates of cgoheap, jemalloc and gperftools against an exact ledger
	@scripts/bench.sh truth

build-all: build ## the archives of all platforms, by cross compilers: what a release has
	@scripts/build-all.sh

dist: build-all ## the release in build/dist: a repository with the tag, a Go module proxy's files, a zip
	@scripts/dist.sh

install: build ## header, archive and pkg-config file below PREFIX (and DESTDIR), for C and Rust programs
	@scripts/install.sh

lint:
	@scripts/setup.sh
	@scripts/lint.sh

check: lint test-all ## format, lint, all tests: what CI runs

clean:
	rm -rf target build go/internal/lib/*/libcgoheap.a go/internal/lib/*/digest.h
