#!/usr/bin/env bash
# Builds samples/toolbox.wasm and samples/toolbox.component.wasm from samples/toolbox/*.c.
# With --check, builds them elsewhere and says whether the committed files are the same, byte for byte.
# Installs nothing; says what is missing.
set -euo pipefail
export LC_ALL=C
cd "$(dirname "${BASH_SOURCE[0]}")"

CLANG=${CLANG:-clang}
SYSROOT=${WASI_SYSROOT:-/usr}
PACKAGES="clang-14 lld-14 wasi-libc libclang-rt-14-dev-wasm32"

stop() {
    echo "samples/build.sh: $1" >&2
    exit 1
}

check=false
case "${1:-}" in
'') ;;
--check) check=true ;;
*) stop "usage: samples/build.sh [--check]" ;;
esac

command -v "$CLANG" >/dev/null || stop "there is no $CLANG; on Debian 12: apt-get install clang $PACKAGES"
command -v cargo >/dev/null || stop "there is no cargo, which the component needs; install Rust"
[[ -f $SYSROOT/lib/wasm32-wasi/libc.a ]] ||
    stop "there is no wasi-libc in $SYSROOT; on Debian 12: apt-get install $PACKAGES; elsewhere set WASI_SYSROOT"
"$CLANG" --version | grep -q 'clang version 14\.' ||
    echo "samples/build.sh: $CLANG is not version 14: the result will work but have other bytes" >&2

out=.
if $check; then
    out=$(mktemp -d)
    trap 'rm -rf "$out"' EXIT
fi

# The stack comes first in memory, so that running over its end traps instead of overwriting data.
"$CLANG" --target=wasm32-wasi --sysroot="$SYSROOT" -std=gnu17 -O2 \
    -Wall -Wextra -Wno-missing-field-initializers -Werror \
    -Wl,--strip-all -Wl,--stack-first -Wl,-z,stack-size=1048576 \
    toolbox/*.c -lc-printscan-long-double -o "$out/toolbox.wasm"

cargo run --quiet --release --locked --manifest-path componentize/Cargo.toml \
    --target-dir "${CARGO_TARGET_DIR:-../target}/samples" -- \
    "$out/toolbox.wasm" "$out/toolbox.component.wasm"

for file in toolbox.wasm toolbox.component.wasm; do
    if $check; then
        cmp "$file" "$out/$file" || stop "$file is not what its sources give; run samples/build.sh"
    fi
    printf '%8d bytes  samples/%s\n' "$(wc -c <"$out/$file")" "$file"
done
