# compile.sh: configure and make, out of the source tree, again only where
# something has changed. Sourced after common.sh.
# shellcheck shell=sh disable=SC2154

check_place ()
{
    case $repo in
    *[!A-Za-z0-9_./+,@%=:-]*)
        die "autotools cannot build in a folder with blanks or such in its path: $repo" ;;
    esac
    [ ! -f "$repo/config.status" ] || die \
        "the sources were configured in place; first: make -C $repo distclean"
}

make_configure ()
{
    if [ -z "$(find "$repo/configure" -newer "$repo/configure.ac" 2>/dev/null)" ]; then
        (cd "$repo" && autoreconf -fi)
    fi
}

# is_configured DIR ARGS...: with these, and from these sources
is_configured ()
{
    is_dir=$1; shift
    [ -f "$is_dir/config.status" ] &&
        [ "$(cat "$is_dir/.configured" 2>/dev/null)" = "$repo $*" ]
}

configure_in ()
{
    in_dir=$1; shift
    is_configured "$in_dir" "$@" && return 0
    rm -rf "$in_dir"
    mkdir -p "$in_dir"
    (cd "$in_dir" && "$repo/configure" "$@") || return 1
    echo "$repo $*" >"$in_dir/.configured"
}

# prepare_in DIR ARGS...: configure with ARGS if need be
prepare_in ()
{
    make_configure && configure_in "$@"
}

# compile_in DIR ARGS...: the same, and make all
compile_in ()
{
    prepare_in "$@" || return 1
    make -C "$1" -j "$(jobs_n)" --no-print-directory
}

# as build/check has configured it, if it has
compile_any ()
{
    if is_configured "$build" --enable-werror; then
        compile_in "$build" --enable-werror
    else
        compile_in "$build"
    fi
}

# build_mutants: with the rules of tests/model/mutants.def to be left out by the
# environment variable DP_MUTANT, for tests only. In _check/mutants, as stage
# `san` has its builds beside it.
build_mutants ()
{
    compile_in "$repo/_check/mutants" --enable-werror --enable-mutants
}

# build_other_abi DIR: module and watcher of another version, whose bus the usual
# ones can't read; for the test of upgrades. DIR is built; a copy of it, beside
# it, in which what knows the version is compiled again.
build_other_abi ()
{
    rm -rf "$1-abi"
    cp -a "$1" "$1-abi" || return 1
    find "$1-abi/mod_directpush/bus" -name 'bus_*.*o' -delete
    make -C "$1-abi" -j "$(jobs_n)" --no-print-directory \
        CPPFLAGS=-DDP_BUS_ABI_VERSION=255u directpushd mod_directpush.la
}

# make_value DIR TEXT: TEXT as the makefile there expands it
make_value ()
{
    printf 'include Makefile\nvalue:\n\t@echo %s\n' "$2" |
        make -s -C "$1" -f - value
}
