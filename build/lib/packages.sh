# packages.sh: Debian's packages that are needed, and installing those that are
# missing. Nothing is upgraded, no service is started. Sourced after common.sh.
# shellcheck shell=sh disable=SC2034

# to build and run it
packages_build="gcc libc6-dev make autoconf automake libtool pkg-config
    apache2-dev libapr1-dev libaprutil1-dev libssl-dev liblmdb-dev zlib1g-dev
    libconfuse-dev libcurl4-openssl-dev libxml2-dev libsystemd-dev
    libcmocka-dev
    apache2-bin openssl python3"
# the servers that it stands in front of
packages_stack="sogo sogo-activesync dovecot-imapd dovecot-lmtpd postgresql
    memcached"
# what build/bench compares it with
packages_bench="nginx libnginx-mod-nchan"
# to test it, besides
packages_check="apache2 curl python3-pytest python3-pytest-timeout
    python3-pytest-xdist haproxy nghttp2-client python3-h2
    libapache2-mod-security2 libapache2-mod-evasive php-fpm php-cli
    faketime libwbxml2-utils libwbxml2-dev spin clang clang-tidy cppcheck
    shellcheck pyflakes3 man-db xz-utils systemd libseccomp2 valgrind libc6-dbg
    $packages_bench $packages_stack"

policy_file=/usr/sbin/policy-rc.d
policy_mark='put there by mod_directpush/build while it installs packages'

# invoke-rc.d asks this file; 101 means: do not start.
forbid_services ()
{
    if [ ! -e "$policy_file" ]; then
        printf '#!/bin/sh\n# %s\nexit 101\n' "$policy_mark" >"$policy_file"
        chmod 755 "$policy_file"
    fi
}

allow_services ()
{
    if grep -q "$policy_mark" "$policy_file" 2>/dev/null; then
        rm -f "$policy_file"
    fi
}

# those of NAME... that are not installed
missing_packages ()
{
    for p; do
        state=$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null) || :
        [ "$state" = installed ] || printf '%s ' "$p"
    done
}

apt_install ()
{
    export DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l
    apt-get -q -o DPkg::Lock::Timeout=300 update ||
        echo "apt-get update failed; going on with the lists that are there"
    apt-get -q -y -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 \
        install --no-install-recommends "$@"
}

# need_packages NAME...
need_packages ()
{
    if ! command -v dpkg-query >/dev/null; then
        say "== no dpkg here: taking what is installed as it is"
        return 0
    fi
    missing=$(missing_packages "$@")
    [ -n "$missing" ] || return 0
    [ "$(id -u)" = 0 ] || die "missing packages; as root:

    apt-get install --no-install-recommends $missing"
    trap allow_services EXIT
    trap 'allow_services; exit 130' INT
    trap 'allow_services; exit 143' TERM
    forbid_services
    # shellcheck disable=SC2086
    must "install $(echo "$missing" | wc -w) packages" apt_install $missing
    allow_services
    trap - EXIT INT TERM
}
