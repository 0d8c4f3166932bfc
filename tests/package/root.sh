# shellcheck shell=bash disable=SC2016
# A fresh Debian 12 below a temporary folder, for the tests of this folder: sourced, as root, with bash.
#
# The base (debootstrap's minbase) is made once and kept in build/package/. Where packages come from, this machine's own
# apt says. What runs inside has processes, mounts and /proc of its own, and they end with it.
work=$PWD/build/package
base=$work/base.tar
mkdir -p "$work"

[ "$(id -u)" -eq 0 ] || { echo "$0 needs root, for chroot" >&2; exit 1; }
scripts/install-packages package

sources() { # of Debian alone
    grep -lEs '^(URIs:|deb ).*/debian(-security)?/?( |$)' /etc/apt/sources.list /etc/apt/sources.list.d/* || :
}

make_base() {
    local root mirror
    [ ! -f "$base" ] || return 0
    echo "making a bare Debian 12 (once)"
    root=$(mktemp -d)
    # shellcheck disable=SC2046  # a list
    mirror=$(sources | xargs awk '/^URIs:/ { print $2; exit } /^deb / { for (i = 2; $i !~ /:/; i++); print $i; exit }')
    debootstrap --variant=minbase bookworm "$root" "${mirror:-http://deb.debian.org/debian}" >"$work/debootstrap.log" ||
        { tail "$work/debootstrap.log" >&2; exit 1; }
    rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/etc/apt/sources.list
    sources | xargs cp --parents -t "$root"
    # How to fetch, too, but not what is done with it.
    apt-config dump | grep -E '^Acquire::(Check|http|https|Retries)' >"$root/etc/apt/apt.conf.d/50fetch" || :
    cat >>"$root/etc/apt/apt.conf.d/50fetch" <<'END'
Acquire::Languages "none";
Dir::Cache { srcpkgcache ""; pkgcache ""; }; # as in Debian's images: nothing is kept
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb"; };
END
    printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d" # no service is started
    chmod 755 "$root/usr/sbin/policy-rc.d"
    chmod 755 "$root" # others live here too
    tar -C "$root" -c . -f "$base.new"
    mv "$base.new" "$base"
    rm -rf "$root"
}

make_root() { # the folder is in $root; it goes with the script
    make_base
    root=$(mktemp -d)
    trap 'rm -rf --one-file-system "$root"' EXIT
    tar -C "$root" -x -f "$base"
    cp -L /etc/resolv.conf "$root/etc/"
}

inside() { # COMMAND [ARGUMENT ...], in the root
    unshare --mount --pid --fork --kill-child --mount-proc="$root/proc" \
        env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 TERM=dumb \
        DEBIAN_FRONTEND=noninteractive chroot "$root" "$@" </dev/null
}

quietly() { # the same; what it says is shown when it fails
    if ! inside "$@" >"$work/inside.log" 2>&1; then
        tail -n 40 "$work/inside.log" >&2
        echo "FAILED: $*" >&2
        exit 1
    fi
}
