# shellcheck shell=bash
#
# fresh.sh: bare systems of Debian to try things in. For sourcing by bash, as root.
#
# They are made by debootstrap, from the mirrors of this machine's own apt sources, below the folder fresh/ in which the
# script is run, and removed again. What runs in them is in name spaces of its own: for processes, so that nothing outlives
# its command; for mounts, so that nothing is mounted outside; and without a network, for that.
#
# The caller has set:
#   top    the source tree
#   here   the folder fresh/
#   keep   not empty: the systems stay

: "${top:?}" "${here:?}"

declare -A fresh_codenames=([12]=bookworm [13]=trixie)

fail() {
    echo "$(basename "$0"): $1" >&2
    exit 1
}

fresh_needs() {
    local program
    ((EUID == 0)) || fail 'only root can make systems and enter them'
    for program in debootstrap unshare chroot ip apt-get; do
        command -v "$program" >/dev/null || fail "$program is not installed"
    done
}

# Makes the folder, for this script alone, and has the systems removed when it ends.
fresh_begin() {
    mkdir -p "$here" && exec {fresh_lock}>"$here/lock" || exit
    flock -n "$fresh_lock" || fail "another one runs in $here"
    trap fresh_end EXIT
    trap 'exit 130' INT TERM
}

# shellcheck disable=SC2317  # a trap calls it
fresh_end() {
    if [[ -z $keep ]]; then
        rm -rf "$here"/root "$here"/base-*/
    fi
}

# The sources of a release on this machine's mirrors, as "URI SUITE" lines, its main one first.
fresh_sources() { # CODENAME
    # shellcheck disable=SC2016  # apt-get expands it
    apt-get indextargets --format '$(ORIGIN) $(COMPONENT) $(CODENAME) $(REPO_URI)' 'Created-By: Packages' |
        awk -v codename="$1" '
            $1 == "Debian" && $2 == "main" && $3 ~ /^[a-z]+(-security|-updates)?$/ {
                sub(/^[a-z]+/, codename, $3); print length($3), $4, $3
            }' | sort -u -n | cut -d' ' -f2-
}

# Makes fresh/base-RELEASE, which the systems of that release begin as.
fresh_base() { # RELEASE
    local release=$1 base=$here/base-$1 codename=${fresh_codenames[$1]}
    local -a sources
    [[ ! -e $base ]] || return 0
    mapfile -t sources < <(fresh_sources "$codename")
    ((${#sources[@]} > 0)) || fail 'the apt sources of this machine name no mirror of Debian (was there an apt-get update?)'
    echo "==> debootstrap of Debian $release, log in fresh/base-$release.log"
    rm -rf "$base.new"
    debootstrap --variant=minbase --include=sudo "$codename" "$base.new" "${sources[0]% *}" >"$base.log" 2>&1 ||
        fail "debootstrap failed; see $base.log"
    printf 'deb %s main\n' "${sources[@]}" >"$base.new/etc/apt/sources.list"
    apt-config dump | grep -E '^Acquire::https?::Proxy' >"$base.new/etc/apt/apt.conf.d/proxy"
    printf '%s\n' '127.0.0.1 localhost' '::1 localhost' "127.0.1.1 $(uname -n)" >"$base.new/etc/hosts"
    chroot "$base.new" useradd --create-home --shell /bin/bash user
    echo 'user ALL=(ALL) NOPASSWD: ALL' >"$base.new/etc/sudoers.d/user"
    mv "$base.new" "$base"
}

# What makes a system of a folder, in name spaces of its own: its pseudo file systems. Then the account's command.
# shellcheck disable=SC2016  # the shell within expands it
fresh_inside='
set -e
root=$1 account=$2 network=$3
shift 3
[ "$network" = yes ] || ip link set lo up
# A root is something that is mounted.
mount --rbind "$root" "$root"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount -t tmpfs -o mode=755 dev "$root/dev"
for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/shm" "$root/dev/pts"
mount -t tmpfs -o mode=1777 shm "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=666 pts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
for i in 0:stdin 1:stdout 2:stderr; do ln -s "/proc/self/fd/${i%:*}" "$root/dev/${i#*:}"; done
# Not by chroot(2) alone: in that nobody may have name spaces of users, as units of systemd do.
cd "$root"
pivot_root . mnt
exec chroot . /bin/sh -c "umount -l /mnt; exec /usr/bin/env -i \
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin /sbin/runuser -u \"\$0\" -- \"\$@\"" "$account" "$@"
'

fresh_enter() { # ROOT ACCOUNT NETWORK COMMAND...
    local -a apart=(--mount --pid --fork --kill-child --ipc --uts)
    [[ $3 == yes ]] || apart+=(--net)
    unshare "${apart[@]}" --propagation private sh -c "$fresh_inside" sh "$@" </dev/null
}

# A new system of a release, in fresh/root.
fresh_system() { # RELEASE
    fresh_base "$1"
    rm -rf "$here/root"
    cp -a --reflink=auto "$here/base-$1" "$here/root" || exit
}

# What is committed, in a folder of the system that belongs to an account.
fresh_checkout() { # ACCOUNT FOLDER
    mkdir "$here/root/$2"
    if [[ -e $top/.git ]]; then
        git -C "$top" -c safe.directory='*' archive HEAD | tar xf - -C "$here/root/$2"
    else
        tar cf - -C "$top" --exclude='./build*' . | tar xf - -C "$here/root/$2"
    fi
    chroot "$here/root" chown -R "$1:" "$2"
}
