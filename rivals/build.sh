#!/usr/bin/env bash
# Builds the rivals that `partywall bench --against NAME` measures, into rivals/target/programs.
#
#   rivals/build.sh [NAME ...]      all that can be had if none is named
#
# Rust crates come from crates.io; Boost from the system's packages; Python's are its standard library's.
set -euo pipefail
cd "$(dirname "$0")"
programs=target/programs
mkdir -p "$programs"

crates=(crossbar crossbeam iceoryx2 ipc-channel mmap-sync ringfire rtrb shaq subetha)
wanted=()
for name in "${@:-all}"; do
    case $name in
        all)
            wanted+=("${crates[@]}")
            others=(boost python)
            ;;
        boost | python) others+=("$name") ;;
        aeron)
            echo 'aeron: needs its media driver and client library, which no registry here has as packages: not built' >&2
            exit 1
            ;;
        cloudtoid)
            echo 'cloudtoid: needs .NET and its packages from nuget.org, which could not be reached: not built' >&2
            exit 1
            ;;
        *)
            [[ " ${crates[*]} " == *" $name "* ]] || { echo "no rival is called $name" >&2; exit 1; }
            wanted+=("$name")
            ;;
    esac
done

# One crate says that it needs a newer compiler than it does.
build() {
    local features
    features=$(IFS=,; echo "$*")
    cargo build --release --ignore-rust-version --features "$features"
}

if [ ${#wanted[@]} -gt 0 ]; then
    if ! build "${wanted[@]}"; then
        built=()
        for name in "${wanted[@]}"; do
            if build "$name"; then built+=("$name"); else echo "$name: does not build here" >&2; fi
        done
        [ ${#built[@]} -gt 0 ] || exit 1
        build "${built[@]}"
    fi
    cp target/release/partywall-rivals "$programs/crates"
fi

for name in "${others[@]:-}"; do
    case $name in
        boost)
            if ! echo '#include <boost/interprocess/ipc/message_queue.hpp>' | g++ -E -x c++ - >/dev/null 2>&1; then
                echo 'boost: its headers are missing (apt-get install libboost-dev): not built' >&2
                [ $# -eq 0 ] && continue
                exit 1
            fi
            g++ -O2 -std=c++17 -o "$programs/boost" boost/queue.cpp -lrt -lpthread
            ;;
        python)
            install -m 755 python/rival.py "$programs/python"
            ;;
    esac
done
ls "$programs"
