# shellcheck shell=bash
#
# apt.sh: apt-get beside others who use it. For sourcing by bash.

# apt-get update with a command in front of it, such as sudo. Waits up to two minutes while someone else, mostly
# Debian's own daily update, holds the lists: apt-get waits by itself for dpkg alone (DPkg::Lock::Timeout).
apt_update() { # [COMMAND...]
    local errors code tries=60
    while :; do
        code=0
        { errors=$(LC_ALL=C.UTF-8 "$@" apt-get -q update 2>&1 >&3) || code=$?; } 3>&1
        [[ -z $errors ]] || printf '%s\n' "$errors" >&2
        ((code != 0 && tries-- > 0)) && [[ $errors == *'Could not get lock'* ]] || return "$code"
        sleep 2
    done
}
