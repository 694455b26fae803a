#!/usr/bin/env bash
# Builds and runs Partywall for the other targets: i686 and aarch64 Linux, Windows (under Wine); macOS is only checked.
#
#   ci/targets.sh [i686|aarch64|windows|macos|csharp ...]      all of them if none is named
#
# A target's standard library comes from rustup where that can fetch it; else it is built from Debian's rust-web
# packages. What cannot be set up fails: nothing is skipped. The whole test-suite runs on each that is run (`ci/suites.py`); how deep the
# long tests go says `ci/suites.toml`. The native command must have been built (cargo build --release).
set -euo pipefail
cd "$(dirname "$0")/.."
export WINEDEBUG=-all WINEPREFIX="$PWD/target/wine" CARGO_TERM_COLOR=never
export CARGO_PROFILE_DEV_DEBUG=0 CARGO_PROFILE_TEST_DEBUG=0
# Both can be given, to use what is built already.
NATIVE=${NATIVE:-$PWD/target/release/partywall}
BUILT=${BUILT:-$PWD/target/cross}
started=$SECONDS

step() { printf '\n=== targets: %s (after %d s)\n' "$*" $((SECONDS - started)); }
fail() { echo "targets: $*" >&2; exit 1; }

install() {
    local missing=() package
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return
    [ -n "${updated:-}" ] || { apt-get update -q >/dev/null; updated=1; }
    DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${missing[@]}" >/dev/null ||
        fail "cannot install ${missing[*]}"
}

# Which of the two ways gives a target's standard library: `rustup` or `source`.
way() {
    if [ -z "${ways[$1]:-}" ]; then
        if command -v rustup >/dev/null && timeout 120 rustup target add "$1" >/dev/null 2>&1; then
            ways[$1]=rustup
        else
            install rustc-web cargo-web rust-web-src
            ways[$1]=source
        fi
        echo "$1: standard library by ${ways[$1]}"
    fi
}
declare -A ways

# cross TARGET VERB ARGUMENTS...: cargo for a target, in a directory of its own.
cross() {
    local target=$1 verb=$2
    shift 2
    way "$target"
    local variable
    variable=CARGO_TARGET_$(tr 'a-z-' 'A-Z_' <<<"$target")_LINKER
    local linker=${linkers[$target]:-}
    [ -z "$linker" ] || export "$variable=$linker"
    if [ "${ways[$target]}" = rustup ]; then
        CARGO_TARGET_DIR=$BUILT cargo "$verb" --target "$target" "$@"
    else
        CARGO_TARGET_DIR=$BUILT RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 /usr/bin/cargo "$verb" \
            -Zbuild-std=std,panic_unwind,panic_abort,test --target "$target" "$@"
    fi
}
declare -A linkers=([i686-unknown-linux-gnu]=i686-linux-gnu-gcc [aarch64-unknown-linux-gnu]=aarch64-linux-gnu-gcc)

# One layout: every target prints the same tables.
same_abi() {
    "$@" abi | tr -d '\r' | cmp - target/native.abi || fail "$1 has another layout"
    echo 'the layout is the same'
}

# Bytes through a ring, and a value through a snapshot, between two commands.
through() {
    local place=$1 one=$2 other=$3
    head -c 5000003 /dev/urandom >target/bytes.in
    rm -f target/bytes.out
    $other --dir "$place" recv bytes >target/bytes.out &
    local receiver=$!
    $one --dir "$place" send bytes <target/bytes.in
    wait $receiver
    cmp target/bytes.in target/bytes.out
    $one --dir "$place" put value 'one value'
    [ "$($other --dir "$place" get value | tr -d '\r\n')" = 'one value' ]
    $one --dir "$place" rm value >/dev/null
    echo "byte for byte: ${one##*/} to ${other##*/}"
}

# An oracle judges what processes of both targets did that were killed and stopped, in each part of each pattern.
# So many seconds, or more where not all of them came to do something in that time.
torture() {
    local pattern seconds
    for pattern in ring snapshot broadcast frames mpsc guarded; do
        for seconds in "$1" $((4 * $1)) $((16 * $1)); do
            "$NATIVE" torture --seconds "$seconds" --seed 6 --pattern $pattern --other "$2" --json | tail -n 1 | tee target/torture.json
            ! everybody_was_there || continue 2
        done
        fail "in $pattern somebody does nothing, or is never killed, however long it takes"
    done
}

everybody_was_there() {
    python3 - target/torture.json <<'PYTHON'
import json, sys
told = json.load(open(sys.argv[1]))
line = told["patterns"][0]
# Nobody owns a guarded record but who has it locked.
owner = "peer" if line["pattern"] == "guarded" else "owner"
for build in ("this", "other"):
    for part in (owner, "peer"):
        share = line["builds"].get(build, {}).get(part, {})
        if not (share.get("operations", 0) > 0 and share.get("kills", 0) > 0):
            sys.exit(f"{line['pattern']}: {part} of the {build} build: {share}")
PYTHON
}

# Every program of the test-suite for a target, in one go; where they are is written down for `suite`.
build() {
    cross "$1" test --no-run -p partywall -p partywall-cli --lib --bins --tests --message-format=json >"target/$1.json" ||
        fail "the tests for $1 do not build"
}

# suite NAME TARGET ARGUMENTS...: runs them.
suite() {
    local name=$1 target=$2
    shift 2
    step "$name: the test-suite"
    "${foreign[@]}" python3 ci/suites.py "$name" "target/$target.json" "$@"
}
# What runs programs of another processor, if the kernel alone does not.
foreign=()

# A word that a process of one build stores and a process of the other loads is never half of two.
halves() {
    local other
    other=$(python3 ci/suites.py --where halves "target/$1.json")
    rustc --test --edition 2024 -O -o target/halves crates/partywall/tests/halves.rs
    PARTYWALL_OTHER_HALVES=$other target/halves --exact a_word_that_another_process_stores_is_never_read_in_halves
    PARTYWALL_OTHER_HALVES=$PWD/target/halves "$other" --exact a_word_that_another_process_stores_is_never_read_in_halves
}

i686() {
    local target=i686-unknown-linux-gnu program=$BUILT/i686-unknown-linux-gnu/debug/partywall
    step 'i686'
    install gcc-i686-linux-gnu libc6-dev-i386-cross libc6-i386 lib32gcc-s1
    build $target
    same_abi "$program"
    python3 ci/golden.py check "$program"
    step 'i686 and x86-64 on one channel'
    halves $target
    local place
    place=$(mktemp -d -p /dev/shm targets-XXXXXX)
    through "$place" "$program" "$NATIVE"
    through "$place" "$NATIVE" "$program"
    rm -r "$place"
    torture 6 "$program"
    suite i686 $target
}

aarch64() {
    local target=aarch64-unknown-linux-gnu program=$BUILT/aarch64-unknown-linux-gnu/debug/partywall
    step 'aarch64'
    install gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user
    export QEMU_LD_PREFIX=/usr/aarch64-linux-gnu
    build $target
    "$program" --version 2>/dev/null || foreign=(python3 ci/foreign.py)
    "${foreign[@]}" "$program" --version || fail 'the kernel cannot be told to run aarch64 programs by qemu'
    printf '#!/bin/sh\nexec qemu-aarch64 %q "$@"\n' "$program" >target/aarch64-partywall
    chmod +x target/aarch64-partywall
    program=$PWD/target/aarch64-partywall
    same_abi "$program"
    python3 ci/golden.py check "$program"
    step 'aarch64 and x86-64 on one channel'
    local place
    place=$(mktemp -d -p /dev/shm targets-XXXXXX)
    through "$place" "$program" "$NATIVE"
    through "$place" "$NATIVE" "$program"
    rm -r "$place"
    torture 5 "$program"
    suite aarch64 $target
    foreign=()
}

windows() {
    local target=x86_64-pc-windows-gnu directory=$BUILT/x86_64-pc-windows-gnu/debug
    local program="wine $directory/partywall.exe" pattern
    step 'windows'
    install gcc-mingw-w64-x86-64 wine wine64
    build $target
    mkdir -p "$WINEPREFIX"
    wineboot_once
    # Wine 8 lacks a library that the standard library asks for random numbers.
    if ! wine "$directory/partywall.exe" --version >/dev/null 2>&1; then
        printf '%s\n' '#include <windows.h>' 'BOOLEAN NTAPI SystemFunction036(PVOID, ULONG);' \
            '__declspec(dllexport) BOOL WINAPI ProcessPrng(PBYTE p, SIZE_T n) { return SystemFunction036(p, (ULONG)n); }' \
            >target/prng.c
        x86_64-w64-mingw32-gcc -shared -o "$directory/bcryptprimitives.dll" target/prng.c -ladvapi32
    fi
    [ ! -e "$directory/bcryptprimitives.dll" ] || cp "$directory/bcryptprimitives.dll" "$directory/deps"
    $program --version
    # shellcheck disable=SC2086 # a program and its arguments
    same_abi $program
    python3 ci/golden.py check --wine "$directory/partywall.exe"
    step 'windows: commands under Wine'
    local place
    place=$(mktemp -d)
    chmod 700 "$place"
    through "$place" "$program" "$program"
    rm -r "$place"
    python3 ci/console.py "$directory/partywall.exe"
    step 'windows: kills and stops under Wine'
    for pattern in ring snapshot broadcast frames mpsc guarded; do
        $program torture --seconds 6 --seed 6 --pattern $pattern --json | tail -n 1
    done
    suite windows $target --runner wine
}

csharp() {
    step 'C#: a reader written from PROTOCOL.md alone'
    install mono-mcs mono-runtime
    python3 ci/csharp.py "$NATIVE"
}

wineboot_once() {
    [ -e "$WINEPREFIX/system.reg" ] || timeout 300 wine wineboot -i >/dev/null 2>&1 || fail 'Wine does not start'
}

macos() {
    step 'macos (checked, never run)'
    cross aarch64-apple-darwin check -p partywall
}

[ -x "$NATIVE" ] || cargo build --release -p partywall-cli
mkdir -p target
"$NATIVE" abi >target/native.abi
python3 ci/golden.py check "$NATIVE"
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(i686 aarch64 windows macos csharp)
for target in "${targets[@]}"; do
    "$target"
done
step 'done'
