"""What valgrind finds in our programs is seen: tests/soak."""
import os
import shutil
import subprocess
import sys

import pytest

from dp.process import REPO

sys.path.append(os.path.join(REPO, "tests", "soak"))

from soak import memcheck  # noqa: E402

pytestmark = [pytest.mark.slow,  # as what it is for
              pytest.mark.skipif(not shutil.which("valgrind"),
                                 reason="no valgrind here")]

# argv[1]: what is done; with two arguments another program does it
PROGRAM = r"""
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *volatile kept;

int main(int argc, char **argv)
{
    if (argc > 2) {
        execl(argv[2], argv[2], argv[1], (char *)0);
    }
    switch (argv[1][0]) {
    case 'l':
        kept = strdup("lost");
        kept = 0;
        break;
    case 'r':
        kept = malloc(10);
        free(kept);
        return kept[3] == 'x';
    case 'w':
        kept = malloc(10);
        memset(kept, 0, 11);
        break;
    case 'u':
        kept = malloc(10);
        return kept[3] == 'x' ? 3 : 0;
    }
    return 0;
}
"""


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    """{name: path} of a program that does wrong, under two names"""
    where = tmp_path_factory.mktemp("memcheck")
    source = where / "program.c"
    source.write_text(PROGRAM)
    out = {name: str(where / name) for name in ("directpushd", "other")}
    for path in out.values():
        subprocess.run(["cc", "-g", "-O0", "-w", "-o", path, str(source)],
                       check=True)
    return out


def run(where, *command):
    """@return reports"""
    subprocess.run(memcheck.wrap(str(where)) + list(command),
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return memcheck.reports(str(where))


@pytest.mark.parametrize("what,kind", [
    ("lost", "Leak_DefinitelyLost"), ("read", "InvalidRead"),
    ("write", "InvalidWrite"), ("unset", "UninitCondition")])
def test_what_is_ours_is_blamed_on_us(programs, tmp_path, what, kind):
    (report,) = run(tmp_path, programs["directpushd"], what)
    assert report.is_complete and report.program == "directpushd"
    found = [f for f in report.findings if f.kind == kind]
    assert found and all(f.is_ours for f in found), report.findings
    assert "main (program.c:" in str(found[0])


def test_what_is_not_is_not(programs, tmp_path):
    (report,) = run(tmp_path, programs["other"], "lost")
    assert [f.blamed for f in report.findings] == ["other"]
    assert not report.findings[0].is_ours


def test_what_is_right_is_found_right(programs, tmp_path):
    (report,) = run(tmp_path, programs["directpushd"], "nothing")
    assert report.is_complete and not report.findings
