#!/usr/bin/env bash
# Format and lint. Changes nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo fmt --check
rustfmt --check --edition 2024 scripts/archive/prelink.rs
cargo clippy --locked --quiet --all-targets -- -D warnings
for manifest in examples/rust-program/Cargo.toml tests/link/rust/*/Cargo.toml; do
    cargo fmt --check --manifest-path "$manifest"
    CARGO_TARGET_DIR=$PWD/build/link/rust-target cargo clippy --locked --quiet --manifest-path "$manifest" -- -D warnings
done
scripts/build-archive.sh
unformatted=$(gofmt -l $(git ls-files '*.go'))
[ -z "$unformatted" ] || { echo "gofmt would change: $unformatted" >&2; exit 1; }
go vet ./...
for module in $(git ls-files '*/go.mod'); do (cd "$(dirname "$module")" && go vet ./...); done
