#!/bin/sh
# includes.sh: draws which folder includes which, from the sources, and fails
# where an include does not point downwards. `apache` and `watcher` meet in
# `bus` and beneath it; only `apache` knows httpd.
set -eu
LC_ALL=C
export LC_ALL
cd "${srcdir:-$(dirname "$0")/../..}/mod_directpush"

# FOLDER: what it may include, besides itself
allowed='
base:
stats: base
wire: base
policy: base
bus: base stats
device: base stats wire policy bus
observe: base stats wire policy bus device
hold: base stats wire policy bus device
apache: base stats wire policy bus device observe hold
watcher: base stats policy bus
tools: base stats wire policy bus
'

# "FOLDER OTHER FILE", once for each include of one folder by another
edges=$(find . -name '*.[ch]' -exec grep -HoE '^ *# *include +"[a-z]+/' {} + |
    sed -E 's|^\./([a-z]+)(/[^:]*):.*"([a-z]+)/$|\1 \3 \1\2|' | sort -u)
httpd=$(grep -rlE '^ *# *include +<(httpd|http_|ap_|util_|mod_|mpm|scoreboard)' . |
    grep -v '^\./apache/' || :)

printf '%s\n' "$allowed" | awk -v edges="$edges" '
    /:/ {
        folder = $1; sub(":", "", folder)
        order[++n] = folder
        for (i = 2; i <= NF; i++) may[folder, $i] = 1
    }
    # what it includes comes above it in `allowed`, so levels are known
    function level_of(folder,    i, top) {
        top = -1
        for (i = 1; i <= n; i++)
            if (uses[folder, order[i]] && level[order[i]] > top)
                top = level[order[i]]
        return top + 1
    }
    END {
        edges_n = split(edges, line, "\n")
        for (i = 1; i <= edges_n; i++) {
            split(line[i], e, " ")
            if (e[1] == e[2]) continue
            if (!((e[1], e[2]) in may)) {
                printf "%s includes %s/, which is not below %s/\n", \
                    e[3], e[2], e[1]
                bad = 1
            }
            uses[e[1], e[2]] = 1
        }
        for (i = 1; i <= n; i++) {
            level[order[i]] = level_of(order[i])
            if (level[order[i]] > highest) highest = level[order[i]]
        }
        for (l = highest; l >= 0; l--)
            for (i = 1; i <= n; i++) {
                f = order[i]
                if (level[f] != l) continue
                text = ""
                for (k = n; k >= 1; k--)
                    if (uses[f, order[k]]) text = text " " order[k]
                printf "%d  %-8s %s%s\n", l, f, text ? "->" : "", text
            }
        exit bad
    }'
if [ -n "$httpd" ]; then
    echo "headers of httpd belong into apache/, not into:"
    echo "$httpd"
    exit 1
fi
