# shellcheck shell=bash
#
# sandbox.sh: a private PostgreSQL cluster with the tables of sql/, and servers on it. For sourcing by bash.
#
# A sandbox is one temporary folder. The cluster in it listens on a Unix socket in that folder and on no port;
# sandbox_close stops everything that was started and removes the folder.
#
# What is started gets a session of its own (setsid): Ctrl-C must not reach it past the script, which has an
# order in which to stop things. Should the script be killed, the kernel stops them (--pdeathsig, which has to
# come after the change of account: that would clear it).
#
# Sets for the caller:
#   sandbox_dir        the folder
#   sandbox_connect    libpq conninfo of the database
#   sandbox_postgres   pid of the postmaster
#   sandbox_server     pid of the server started last

sandbox_dir=
sandbox_connect=
sandbox_postgres=
sandbox_server=
sandbox_servers=()
sandbox_account=()    # the command that takes on the cluster's account; empty where we have it already
sandbox_bin=
sandbox_rights=()
declare -A sandbox_directives=()    # of each binary

# Waits for a process of ours to end, at most so many seconds; false if it is still there then.
gone_within() { # PID SECONDS
    local pid=$1 tries=$(($2 * 20))
    while kill -0 "$pid" 2>/dev/null; do
        ((tries-- > 0)) || return 1
        sleep 0.05
    done
}

# Debian keeps PostgreSQL's programs off the PATH, one folder for each version; the newest one serves.
sandbox_find_postgres() {
    local found
    found=$(printf '%s\n' /usr/lib/postgresql/*/bin/postgres | sort -V | tail -n 1)
    [[ -x $found ]] || found=$(command -v postgres) || {
        echo 'PostgreSQL is not installed: no /usr/lib/postgresql/*/bin/postgres, and no postgres on the PATH' >&2
        return 1
    }
    sandbox_bin=$(dirname "$found")
}

# PostgreSQL refuses to run as root. A service account it is then, and one that can enter the folder.
sandbox_find_account() {
    local account
    sandbox_account=()
    ((EUID == 0)) || return 0
    account=postgres
    getent passwd "$account" >/dev/null || account=nobody
    sandbox_account=(setpriv "--reuid=$account" "--regid=$(id -g "$account")" --clear-groups)
}

# $TMPDIR may be long (a socket's path has 107 bytes), out of bounds for the cluster's account, or hold
# characters that conninfo and postgresql.conf want quoted; /tmp never is any of these.
sandbox_make_dir() {
    local base=${TMPDIR:-/tmp}
    base=${base%/}
    if [[ ! $base =~ ^/[A-Za-z0-9_./-]{1,60}$ ]] || ! "${sandbox_account[@]}" test -x "$base"; then
        base=/tmp
    fi
    sandbox_dir=$(mktemp -d "$base/hayfork.XXXXXX") || return
    if ((EUID == 0)); then
        chown "${sandbox_account[1]#--reuid=}" "$sandbox_dir"
    fi
}

# Shows the end of a log that explains a failure.
sandbox_blame() { # WHAT LOG
    echo "$1; the end of its log:" >&2
    tail -n 30 "$2" | sed 's/^/    /' >&2
    return 1
}

# Makes the folder and the cluster, starts it, loads sql/*.sql of the source tree TOP in one transaction.
sandbox_open() { # TOP
    local top=$1 log tries=200
    local -a files
    # Variables meant for someone's real database must not lead us to it.
    unset "${!PG@}"
    sandbox_find_postgres || return
    sandbox_find_account || return
    sandbox_make_dir || return
    log=$sandbox_dir/log
    (
        cd "$sandbox_dir" || exit
        "${sandbox_account[@]}" "$sandbox_bin/initdb" -N -A trust -U hayfork -E UTF8 --locale=C.UTF-8 \
            -D "$sandbox_dir/data"
    ) >"$log" 2>&1 || { sandbox_blame 'initdb failed' "$log"; return; }

    setsid "${sandbox_account[@]}" setpriv --pdeathsig QUIT "$sandbox_bin/postgres" -D "$sandbox_dir/data" \
        -c listen_addresses='' -c unix_socket_directories="$sandbox_dir" -c max_connections=500 \
        -c fsync=off -c synchronous_commit=off -c full_page_writes=off >>"$log" 2>&1 &
    sandbox_postgres=$!
    until "$sandbox_bin/pg_isready" -q -h "$sandbox_dir" -d postgres -U hayfork; do
        if ! kill -0 "$sandbox_postgres" 2>/dev/null || ((tries-- == 0)); then
            sandbox_blame 'PostgreSQL did not start' "$log"
            return
        fi
        sleep 0.05
    done

    sandbox_connect="host=$sandbox_dir dbname=contacts user=hayfork"
    files=("$top"/sql/*.sql)
    {
        "$sandbox_bin/createdb" -h "$sandbox_dir" -U hayfork contacts &&
            "$sandbox_bin/psql" -X -q -1 -v ON_ERROR_STOP=1 -d "$sandbox_connect" "${files[@]/#/--file=}"
    } >>"$log" 2>&1 || sandbox_blame 'loading sql/ failed' "$log"
}

# Does this Hayfork have the directive? An older one, which a bench may compare, need not.
sandbox_has() { # BINARY CONF DIRECTIVE
    [[ -v sandbox_directives[$1] ]] ||
        sandbox_directives[$1]=" $("$1" -T -c "$2" 2>/dev/null | sed -n 's/^\([a-z_]*\):.*/\1/p' | tr '\n' ' ')"
    [[ ${sandbox_directives[$1]} == *" $3 "* ]]
}

# Sets sandbox_rights to the options with which it can be looked at (sandbox_listens; how much memory it has), without
# root, too; and with which root lends its workers the cluster's account.
sandbox_find_rights() { # BINARY CONF
    sandbox_rights=()
    ! sandbox_has "$1" "$2" core || sandbox_rights+=(-o core=on)
    ((EUID == 0)) && sandbox_has "$1" "$2" user || return 0
    sandbox_find_account
    sandbox_rights+=(-o "user=${sandbox_account[1]#--reuid=}")
}

# Starts a Hayfork in the background, its listeners "public" and "inner" on these addresses. A conf that has no
# listeners with names serves all on both.
sandbox_serve() { # BINARY CONF PUBLIC INNER [OPTION...]
    local binary=$1 conf=$2
    local -a where=(-o "listen.public='$3'" -o "listen.inner='$4'")
    grep -q '^listen:[[:blank:]]*$\|^listen:[[:blank:]]*[{#]' "$conf" || where=(-o "listen=['$3', '$4']")
    # the sample's relay asks the listener "inner"
    ! grep -q '^  avatars:' "$conf" || where+=(-o "upstreams={ avatars: [ http://$4 ] }")
    sandbox_find_rights "$binary" "$conf"
    shift 4
    setsid setpriv --pdeathsig TERM \
        "$binary" -c "$conf" "${where[@]}" "${sandbox_rights[@]}" -o "database.connect='$sandbox_connect'" "$@" &
    sandbox_server=$!
    sandbox_servers+=("$sandbox_server")
}

# True if the process itself holds a listening TCP socket. That some server answers on the address proves
# nothing: it may be another one, and ours about to say that the address is in use.
sandbox_listens() { # PID
    {
        readlink /proc/"$1"/fd/*
        cat /proc/net/tcp /proc/net/tcp6
    } 2>/dev/null |
        awk '/^socket:/ { held[$1]; next } $4 == "0A" && ("socket:[" $10 "]") in held { yes = 1 } END { exit !yes }'
}

# Waits until the server answers URL with 2xx; false if it ended or did not get there in so many seconds.
sandbox_answers() { # PID URL SECONDS
    local pid=$1 url=$2 tries=$(($3 * 20))
    until sandbox_listens "$pid" && curl --noproxy '*' -gsf -m 2 -o /dev/null "$url"; do
        kill -0 "$pid" 2>/dev/null && ((tries-- > 0)) || return 1
        sleep 0.05
    done
}

# Stops a process of ours: asks by the first signal, and again by each further one, ten seconds apart.
sandbox_stop() { # PID SIGNAL...
    local pid=$1 signal
    shift
    for signal; do
        kill -"$signal" "$pid" 2>/dev/null || break
        gone_within "$pid" 10 && break
        echo "pid $pid is still there 10 s after SIG$signal" >&2
    done
    # The status is of no interest here, and a process that even survived that is not waited for.
    kill -0 "$pid" 2>/dev/null || wait "$pid" 2>/dev/null || true
}

# Stops the servers, then the cluster, then removes the folder. Can be called at any stage, and twice.
sandbox_close() {
    local pid
    for pid in "${sandbox_servers[@]}"; do
        sandbox_stop "$pid" INT KILL
    done
    sandbox_servers=()
    if [[ -n $sandbox_postgres ]]; then
        sandbox_stop "$sandbox_postgres" INT QUIT KILL
        sandbox_postgres=
    fi
    if [[ -n $sandbox_dir ]]; then
        rm -rf "$sandbox_dir"
        sandbox_dir=
    fi
}
