# stages.sh: the stages of build/check. Each counts by itself and goes on after
# a failure. Sourced after compile.sh and tally.sh.
# shellcheck shell=sh disable=SC2154

# --- unit tests, in three builds ---

# make_check DIR VARIABLES...: automake's harness; results are in DIR/**/*.trs
make_check ()
{
    check_dir=$1
    shift
    find "$check_dir" -name '*.trs' -exec rm -f {} +
    make -C "$check_dir" -j "$(jobs_n)" --no-print-directory check "$@"
}

# count_unit WHAT DIR: count cases, keep the logs of programs that failed
count_unit ()
{
    counts=$("$python" "$repo/build/lib/count_unit" "$2" "$logs/.unit") ||
        counts="0 0 0"
    if [ -s "$logs/.unit" ]; then
        show "$1" <"$logs/.unit"
    fi
    # shellcheck disable=SC2086
    set -- "$1" $counts
    if [ "$(($2 + $3))" = 0 ] || { [ "$step_status" != 0 ] && [ "$3" = 0 ]; }; then
        cannot_run "$1"
    else
        record "$1" "$2" "$3" "$4"
    fi
}

# What compares sources with each other and with what was built. The programs of
# the unit tests are left to stage `san`: the same under AddressSanitizer.
# shellcheck disable=SC2016 # $(...) is make's
check_sources ()
{
    make_check "$build" \
        check_PROGRAMS=tests/unit/wbxml_dump check_LTLIBRARIES= \
        TESTS="$(make_value "$build" '$(dist_check_SCRIPTS)')"
}

stage_sources ()
{
    step "checks of the sources" check_sources || :
    count_unit "checks of the sources" "$build"
}

stage_unit ()
{
    step "unit tests and checks of the sources" make_check "$build" || :
    count_unit "unit tests and checks of the sources" "$build"
}

sanitizers_flags="-g1 -O1"

# run_programs DIR NAMES: build these unit tests, and nothing that they do not
# need, and run them in automake's harness
# shellcheck disable=SC2016 # $(...) is make's
run_programs ()
{
    find "$1" -name '*.trs' -exec rm -f {} +
    make -C "$1" -j "$(jobs_n)" --no-print-directory check-TESTS \
        check_PROGRAMS="$2 $(make_value "$1" '$(fuzz_needs)')" \
        check_LTLIBRARIES= dist_check_SCRIPTS= \
        TESTS="$2"
}

# sanitized WHAT DIR LIST PATTERN: unit tests whose name has the pattern
# shellcheck disable=SC2016 # $(...) is make's
sanitized ()
{
    if ! step "configure: $3" prepare_in "$2" --enable-sanitizers="$3" \
        CFLAGS="$sanitizers_flags"; then
        cannot_run "configure: $3"
        return
    fi
    programs=$(make_value "$2" '$(check_PROGRAMS)' | tr ' ' '\n' | grep -E "$4")
    step "$1" run_programs "$2" "$(echo "$programs" | tr '\n' ' ')" || :
    count_unit "$1" "$2"
}

sanitizer_options ()
{
    ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1
    UBSAN_OPTIONS=print_stacktrace=1
    TSAN_OPTIONS=second_deadlock_stack=1
    export ASAN_OPTIONS UBSAN_OPTIONS TSAN_OPTIONS
}

stage_san ()
{
    sanitizer_options
    sanitized "unit tests, AddressSanitizer and UBSan" \
        "$repo/_check/asan" address,undefined .
    # those in which there is more than one thread
    sanitized "unit tests of bus and hold, ThreadSanitizer" \
        "$repo/_check/tsan" thread \
        '(stress_hold|test_(bus_threads|clerk|device_store|hold_set|keeper|link_client|spread))$'
}

# count_last_line WHAT COMMAND...: a step whose program ends with `N passed, N
# failed`; COMMAND FILE prints what to show when something failed
count_last_line ()
{
    what=$1
    shift
    counts=$(sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' \
        "$step_log" | tail -n 1)
    passed=${counts% *}
    failed=${counts#* }
    if [ "$((${passed:-0} + ${failed:-0}))" = 0 ]; then
        cannot_run "$what"
        return
    fi
    if [ "$failed" != 0 ]; then
        "$@" "$step_log" | show "$what (all of it: $step_log)"
    fi
    record "$what" "$passed" "$failed" 0
}

# --- the models of tests/model ---

stage_model ()
{
    step "models and their mutants" "$repo/tests/model/check" \
        ${full:+--full} || :
    count_last_line "models and their mutants" grep '^FAILED'
}

# --- end to end ---

# run_pytest DIR XML TIMEOUT MARKS: with the programs that are built in DIR
# DP_PYTEST: other arguments, such as "-k ping"
# shellcheck disable=SC2086
run_pytest ()
{
    pytest_args=${DP_PYTEST:--n 4}  # they wait more than they work
    (cd "$repo" && DP_BUILD_DIR="$1" "$python" -m pytest tests/e2e \
        -p no:cacheprovider --timeout="$3" -m "$4" \
        --junitxml="$2" $pytest_args)
}

# end_to_end WHAT DIR TIMEOUT MARKS
end_to_end ()
{
    what=$1
    xml=$logs/e2e.xml
    rm -f "$xml"
    step "build: another version of the bus" build_other_abi "$2" ||
        cannot_run "build: another version of the bus"
    step "$what" run_pytest "$2" "$xml" "$3" "$4" || :
    if ! counts=$("$python" "$repo/build/lib/count_junit" "$xml"); then
        cannot_run "$what"
        return
    fi
    # shellcheck disable=SC2086
    set -- $counts
    if [ "$2" != 0 ]; then
        sed -n '/^=* \(FAILURES\|ERRORS\) =/,$p' "$step_log" |
            show "$what (all of it: $step_log)"
    fi
    record "$what" "$1" "$2" "$3"
}

stage_e2e ()
{
    marks=
    [ -n "$full" ] || marks="not slow"
    end_to_end "end-to-end tests" "$build" 240 "$marks"
}

# what is slow is about numbers, which a sanitizer makes others of
stage_e2e_san ()
{
    if ! step "build: address,undefined" compile_in "$repo/_check/asan" \
        --enable-sanitizers=address,undefined CFLAGS="$sanitizers_flags"; then
        cannot_run "build: address,undefined"
        return
    fi
    end_to_end "end-to-end tests, AddressSanitizer and UBSan" \
        "$repo/_check/asan" 600 "not slow"
}

# --- chaos: tests/chaos ---

stage_chaos ()
{
    step "chaos" env DP_BUILD_DIR="$build" "$repo/tests/chaos/chaos" --seed 1 \
        ${full:+--seeds 10} --seconds 60 --devices 40 || :
    count_last_line "chaos" tail -n 60
}

# --- a great many Pings: tests/soak ---

run_soak () { DP_BUILD_DIR=$build "$repo/tests/soak/$1"; }

# DP_STRESS_N: transitions of holds, changes on the bus
stage_soak ()
{
    as_one "10,000 Pings under valgrind" run_soak memcheck
    as_one "memory over 1,000,000 Pings" run_soak flat
    sanitizer_options
    DP_STRESS_N=${DP_STRESS_N:-5000000}
    export DP_STRESS_N
    sanitized "millions of transitions, ThreadSanitizer" \
        "$repo/_check/tsan" thread '(stress_hold|test_bus_threads)'
    unset DP_STRESS_N
}

# --- lint ---

# the preprocessor's flags of all files together
# shellcheck disable=SC2016 # $(...) is make's
cpp_flags ()
{
    make_value "$build" '$(DEFS) $(AM_CPPFLAGS) $(HTTPD_CFLAGS) $(LMDB_CFLAGS) $(OPENSSL_CFLAGS) $(CONFUSE_CFLAGS) $(CURL_CFLAGS) $(XML_CFLAGS)'
}

our_sources () { find "$repo/mod_directpush" -name '*.c' | sort; }
our_scripts ()
{
    find "$repo/build" "$repo/.ci" "$repo/tests/check" "$repo/tests/model" \
        "$repo/tests/mutants" "$repo/tests/fuzz/coverage" -type f \
        -exec grep -lE '^#!/bin/sh|shellcheck shell=sh' {} + | sort
}
our_python ()
{
    find "$repo/build" "$repo/tests" -type f \( -name '*.py' -print -o \
        -perm -u+x -exec grep -lE '^#!/usr/bin/python3' {} \; \) | sort
}

run_cppcheck ()
{
    cppcheck -q -j "$(jobs_n)" --error-exitcode=1 --inline-suppr --std=c11 \
        --suppressions-list="$repo/build/lib/cppcheck.txt" \
        --enable=warning,performance,portability \
        -DHAVE_SYSTEMD=1 -I "$repo/mod_directpush" "$repo/mod_directpush"
}

# shellcheck disable=SC2016 # the inner shell's
run_clang_tidy ()
{
    our_sources | (cd "$build" && xargs -P "$(jobs_n)" -n 4 sh -c '
        flags=$1; config=$2; shift 2
        clang-tidy --quiet --config-file="$config" --warnings-as-errors="*" \
            "$@" -- -std=gnu11 $flags' tidy "$(cpp_flags)" "$repo/.clang-tidy")
}

# in the root, which sourced files are relative to
run_shellcheck () { our_scripts | (cd "$repo" && xargs shellcheck -x -s sh); }
run_pyflakes () { our_python | xargs "$repo/build/lib/pyflakes"; }

# groff's warnings are failures: an unknown macro drops the text that follows
run_man ()
{
    status=0
    for page in "$repo"/mod_directpush/doc/*.[178]; do
        said=$(man --warnings -l -E UTF-8 "$page" 2>&1 >/dev/null) || status=1
        [ -z "$said" ] || { echo "$page: $said"; status=1; }
    done
    return "$status"
}

stage_lint ()
{
    as_one "lint: cppcheck" run_cppcheck
    as_one "lint: clang-tidy" run_clang_tidy
    as_one "lint: shellcheck" run_shellcheck
    as_one "lint: pyflakes" run_pyflakes
    as_one "lint: man pages" run_man
}

# --- install and distribution ---

stage_dist ()
{
    as_one "install with DESTDIR" "$repo/build/lib/check_install" "$build"
    as_one "make dist" "$repo/build/lib/check_dist" "$repo" "$build"
}

# --- the long ones ---

run_distcheck () { make -C "$build" --no-print-directory distcheck; }
run_fuzz ()
{
    make -C "$build" --no-print-directory fuzz \
        FUZZ_SECONDS="${FUZZ_SECONDS:-30}"
}
run_bench () { DP_BUILD_DIR=$build "$1" --quick; }

stage_full ()
{
    as_one "fuzzing the parsers" run_fuzz
    as_one "make distcheck" run_distcheck
    for bench in "$repo"/tests/bench/*; do
        if [ -f "$bench" ] && [ -x "$bench" ]; then
            as_one "bench: $(basename "$bench")" run_bench "$bench"
        fi
    done
}
