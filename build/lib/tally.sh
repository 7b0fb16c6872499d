# tally.sh: counts what passed and failed, and keeps what failing tests said.
# Sourced after common.sh.
# shellcheck shell=sh disable=SC2154

tally_begin ()
{
    all_passed=0
    all_failed=0
    tally_began=$(date +%s)
    table=$logs/.table
    failures=$logs/.failures
    : >"$table"
    : >"$failures"
}

# record WHAT PASSED FAILED SKIPPED: how the step that has just run went
record ()
{
    all_passed=$((all_passed + $2))
    all_failed=$((all_failed + $3))
    printf '%-44s %6d %6d %7d %6d s\n' "$1" "$2" "$3" "$4" "$step_s" >>"$table"
    printf '           %d passed, %d failed, %d skipped\n' "$2" "$3" "$4"
}

# show WHAT: standard input is what is to be read about it at the end
show ()
{
    {
        printf '\n---- %s\n' "$1"
        tail -n 300 | sed 's/^/    /'
    } >>"$failures"
}

# cannot_run WHAT: the step that has just run broke down without counts
cannot_run ()
{
    tail -n 60 "$step_log" | show "$1 (all of it: $step_log)"
    record "$1" 0 1 0
}

# as_one WHAT COMMAND...: a step that is one test
as_one ()
{
    if step "$@"; then
        record "$1" 1 0 0
    else
        cannot_run "$1"
    fi
}

tally_end ()
{
    if [ -s "$failures" ]; then
        printf '\nWhat failed:\n'
        cat "$failures"
    fi
    printf '\n%-44s %6s %6s %7s %8s\n' "" passed failed skipped time
    cat "$table"
    printf '%-44s %6s %6s %7s %6d s\n\n' "" "" "" "" \
        $(($(date +%s) - tally_began))
    echo "$all_passed passed, $all_failed failed"
    if [ "$all_failed" -gt 0 ] || [ "$all_passed" = 0 ]; then
        exit 1
    fi
    exit 0
}
