# common.sh: what build/check and build/quickstart share: where things are, and
# showing what goes on. Sourced; the caller has set `repo` and `logs`.
# shellcheck shell=sh disable=SC2154,SC2034

export LC_ALL=C.UTF-8
export PYTHONDONTWRITEBYTECODE=1
python=/usr/bin/python3
build=$repo/_build

say () { printf '%s\n' "$*"; }
die () { printf '%s\n' "$*" >&2; exit 1; }

jobs_n () { nproc 2>/dev/null || echo 2; }

# Every ten seconds: how long it takes so far, and the last line of the log.
tick ()
{
    n=0
    while sleep 10 >/dev/null 2>&1; do
        n=$((n + 10))
        printf '   %4d s  %s\n' "$n" "$(tail -n 1 "$1" 2>/dev/null |
            tr '\r' '\n' | tail -n 1 | cut -c 1-96)"
    done
}

# log_of TEXT: the log file of a step
log_of () { printf '%s/%s.log' "$logs" "$(printf %s "$1" | tr -cs 'a-zA-Z0-9' -)"; }

# step TEXT COMMAND...: run it in the foreground, so that Ctrl-C reaches it;
# output goes to a log. Returns its exit status; what to do then is the
# caller's business.
step ()
{
    step_text=$1; shift
    step_log=$(log_of "$step_text")
    step_began=$(date +%s)
    mkdir -p "$logs"
    printf '== %s\n' "$step_text"
    : >"$step_log"
    tick "$step_log" 9>&- &
    step_ticker=$!
    step_status=0
    "$@" >>"$step_log" 2>&1 9>&- || step_status=$?
    kill "$step_ticker" 2>/dev/null || :
    wait "$step_ticker" 2>/dev/null || :
    step_s=$(($(date +%s) - step_began))
    if [ "$step_status" = 0 ]; then
        printf '   %4d s  done\n' "$step_s"
    else
        printf '   %4d s  FAILED (%s)\n' "$step_s" "$step_log"
    fi
    return "$step_status"
}

# must TEXT COMMAND...: a step without which nothing else makes sense.
must ()
{
    step "$@" && return 0
    printf '\n%s failed. The end of its output:\n\n' "$1" >&2
    tail -n 40 "$(log_of "$1")" | sed 's/^/    /' >&2
    printf '\nAll of it: %s\n' "$(log_of "$1")" >&2
    exit 1
}

# One run at a time in one tree: two would build into the same folder.
lock_tree ()
{
    mkdir -p "$logs"
    exec 9>"$logs/.lock"
    flock -n 9 || die "another build/check or build/quickstart is at work in $repo; wait for it to end"
}
