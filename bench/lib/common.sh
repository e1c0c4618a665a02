# shellcheck shell=bash
#
# common.sh: what bench/run, bench/relay and bench/idle have in common. For sourcing by bash.

die() { # WHAT [EXIT-CODE]
    echo "bench/${0##*/}: $1" >&2
    exit "${2-1}"
}

# Says what goes on: in place on a terminal, else a line each.
progress() { # TEXT
    if [[ -t 2 ]]; then
        printf '\r\033[K%s' "$1" >&2
    elif [[ -n $1 ]]; then
        echo "$1" >&2
    fi
}

free_port() {
    perl -MIO::Socket::INET -e 'print IO::Socket::INET->new(LocalAddr => "127.0.0.1", Listen => 1)->sockport'
}

# The process and all its descendants.
family() { # PID
    cat /proc/[0-9]*/stat 2>/dev/null | sed 's/(.*)/()/' | awk -v root="$1" '
        { parent[$1] = $4 }
        END {
            for (p in parent) {
                for (q = p; q in parent && q != root; q = parent[q]);
                if (q == root) print p
            }
        }'
}

# CPU time of a process, its descendants, and those of them that are gone already, in clock ticks.
cpu() { # PID
    local member
    [[ -n $1 ]] || { echo 0; return; }
    for member in $(family "$1"); do
        cat "/proc/$member/stat" 2>/dev/null || true
    done | sed 's/(.*)/()/' | awk '{ ticks += $14 + $15 + $16 + $17 } END { print ticks + 0 }'
}

# Memory of a process and its descendants: kB of PSS, and how many processes.
memory() { # PID
    local member
    for member in $(family "$1"); do
        cat "/proc/$member/smaps_rollup" 2>/dev/null || true
    done | awk '/^Pss:/ { kb += $2; ++n } END { print kb + 0, n + 0 }'
}
