"""Tables for a terminal and in Markdown, and what is told beside them."""
import subprocess


def version(package):
    """Of a Debian package, without epoch and Debian's revision."""
    done = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", package],
                          text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL)
    return done.stdout.rpartition(":")[2].partition("-")[0] or "?"


def columns(rows):
    """For a terminal. @param rows  lists of cells"""
    rows = [[str(c) for c in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows)]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths))
                     .rstrip()
                     for row in rows)


def table(rows):
    """In Markdown; the first row is the head."""
    rows = list(rows)
    out = [rows[0], ["---"] * len(rows[0])] + rows[1:]
    return "\n".join("| %s |" % " | ".join(row) for row in out)
