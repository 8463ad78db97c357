#!/usr/bin/env bash
# Format, lint, and the floor plan. Changes nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
staticcheck=honnef.co/go/tools/cmd/staticcheck@v0.7.0 # built from Go's module proxy on the first run

cargo fmt --check
rustfmt --check --edition 2024 scripts/archive/prelink.rs
scripts/layers.py
python3 -B scripts/layers_test.py 2>&1 | tail -n 3
cargo clippy --locked --quiet --all-targets -- -D warnings
RUSTDOCFLAGS="-D warnings" cargo doc --locked --quiet --no-deps --document-private-items
for manifest in examples/rust-program/Cargo.toml tests/build/programs/link/rust/*/Cargo.toml; do
    cargo fmt --check --manifest-path "$manifest"
    CARGO_TARGET_DIR=$PWD/build/rust-target cargo clippy --locked --quiet --manifest-path "$manifest" -- -D warnings
done
cargo fmt --check --manifest-path tests/loom/Cargo.toml
scripts/build-archive.sh
unformatted=$(gofmt -l $(git ls-files '*.go'))
[ -z "$unformatted" ] || { echo "gofmt would change: $unformatted" >&2; exit 1; }
go vet ./...
go run $staticcheck ./...
for module in $(git ls-files '*/go.mod'); do (cd "$(dirname "$module")" && go vet ./...); done
