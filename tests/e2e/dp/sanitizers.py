"""A build with AddressSanitizer and UBSan, for the end-to-end tests.

Nothing has to be switched on: where mod_directpush.so of $DP_BUILD_DIR is linked
with libasan, Debian's apache2, which is not, gets it preloaded, by a script that
stands in for it. Each report is a file of its own; one that a test leaves behind
fails the test.

What is found is what our code does with memory from malloc, with its stacks and
globals. APR's pools are mappings of their own, which no sanitizer knows; so that
the use of a destroyed pool is found all the same, `MaxMemFree 1` gives its
memory back to the kernel at once.
"""
import atexit
import functools
import glob
import os
import re
import shutil
import subprocess
import tempfile

from .process import Process, build_dir

APACHE = "/usr/sbin/apache2"

COMMON = dict(
    print_stacktrace=1, abort_on_error=1, handle_segv=2, handle_sigbus=2,
    # several servers at a time: 256 MB of freed memory for each are too much
    quarantine_size_mb=64, malloc_context_size=20,
    detect_stack_use_after_return=1, strict_string_checks=1,
    allocator_may_return_null=1)
# Apache ends with what httpd, OpenSSL and its modules never free, and what our
# module has in pools is unknown to LeakSanitizer; tests/soak/memcheck looks there.
LEAKS = {"apache": 0, "ours": 1}

BAD = re.compile(r"(Address|Leak|Thread)Sanitizer|runtime error:")

# A hard stop: the MPM's close_worker_sockets() races with workers that close.
THEIRS = re.compile(r"#0 \S+ in apr_os_sock_get .*\n.*#1 \S+ .*mod_mpm_event")

_found = []  # on standard error, where no file could be written


@functools.lru_cache(None)
def library():
    """libasan.so that the build is linked with, "" if it is not."""
    module = os.path.join(build_dir(), ".libs", "mod_directpush.so")
    if not os.path.exists(module):
        return ""
    listed = subprocess.run(["ldd", module], text=True, check=True,
                            stdout=subprocess.PIPE).stdout
    found = re.search(r"libasan\.so\S* => (\S+)", listed)
    return found[1] if found else ""


def _text(pairs):
    return ":".join("%s=%s" % pair for pair in pairs.items())


def _options(leaks):
    """@return the environment of an instrumented program"""
    path = {"log_path": os.path.join(_where(), "report")}
    return {"ASAN_OPTIONS": _text(dict(COMMON, detect_leaks=leaks, **path)),
            "UBSAN_OPTIONS": _text(dict(print_stacktrace=1, **path))}


@functools.lru_cache(None)
def _where():
    """Directory of reports, of this process of pytest."""
    where = tempfile.mkdtemp(prefix="dp-san-")
    atexit.register(shutil.rmtree, where, ignore_errors=True)
    os.chmod(where, 0o1777)  # children of Apache write there, too
    return where


@functools.lru_cache(None)
def apache():
    """The program to start as apache2. With such a build also sets the
    environment of all that this process starts."""
    if not library():
        return APACHE
    os.environ.update(_options(LEAKS["ours"]))
    Process.when_ended.append(look_at)
    script = os.path.join(_where(), "apache2")
    with open(script, "w") as f:
        f.write("#!/bin/sh\nexport LD_PRELOAD=%s\n" % library())
        for pair in _options(LEAKS["apache"]).items():
            f.write("export %s=%s\n" % pair)
        f.write('exec %s "$@"\n' % APACHE)
    os.chmod(script, 0o755)
    return script


def httpd_lines():
    """Of httpd's configuration."""
    return ["MaxMemFree 1"] if library() else []


def look_at(output):
    """What a program wrote to its standard error: if there is a report, keep
    it. @param output  a file"""
    with open(output, errors="replace") as f:
        text = f.read()
    if BAD.search(text):
        _found.append(text)


def reports():
    """Texts of the reports since the last call."""
    if not library():
        return []
    out, _found[:] = list(_found), []
    for path in sorted(glob.glob(os.path.join(_where(), "report.*"))):
        with open(path, errors="replace") as f:
            text = f.read()
        if not THEIRS.search(text):
            out.append(text)
        os.unlink(path)
    return out
