"""valgrind's memcheck around a program, and what it found that is ours."""
import glob
import os
import xml.etree.ElementTree as ElementTree

HERE = os.path.dirname(os.path.abspath(__file__))
SUPPRESSIONS = os.path.join(HERE, "..", "memcheck.supp")

OURS = ("mod_directpush.so", "directpushd")
# Whoever called these is to blame.
LIBRARIES = ("vgpreload", "libc.so", "libc-", "ld-linux", "libpthread",
             "libapr", "libcrypto", "libssl", "liblmdb", "libz.so", "libcurl",
             "libxml2", "libconfuse", "libsystemd", "libcrypt.so", "libexpat",
             "libpcre", "libuuid", "libnghttp2", "libgnutls")


def wrap(where):
    """@return the words before a program and its arguments"""
    return ["valgrind", "-q", "--tool=memcheck", "--trace-children=yes",
            "--leak-check=full", "--show-leak-kinds=definite",
            "--errors-for-leak-kinds=definite", "--num-callers=30",
            "--keep-debuginfo=yes", "--fair-sched=try", "--xml=yes",
            "--xml-file=" + os.path.join(where, "vg.%p.xml"),
            "--suppressions=" + SUPPRESSIONS]


class Finding:
    """@param error  of valgrind's XML"""

    def __init__(self, error):
        self.kind = error.findtext("kind")
        self.what = error.findtext("what") or error.findtext("xwhat/text")
        self.frames = [
            (os.path.basename(f.findtext("obj") or "?"),
             f.findtext("fn") or "?", "%s:%s" % (
                 f.findtext("file") or "", f.findtext("line") or ""))
            for f in error.find("stack").iter("frame")]

    @property
    def blamed(self):
        """The program or module that did it, or had a library do it."""
        for program, _, _ in self.frames:
            if not program.startswith(LIBRARIES):
                return program
        return "?"

    @property
    def is_ours(self):
        return self.blamed in OURS

    def __str__(self):
        return "\n".join(["%s: %s" % (self.kind, self.what)] + [
            "    %s (%s, %s)" % (fn, where, program)
            for program, fn, where in self.frames])


class Report:
    """Of one process that has ended."""

    def __init__(self, path):
        self.root = ElementTree.parse(path).getroot()
        self.pid = int(self.root.findtext("pid"))
        self.program = os.path.basename(
            self.root.findtext("args/argv/exe") or "?")
        self.findings = [Finding(e) for e in self.root.findall("error")]

    @property
    def is_complete(self):
        """It ended as it should, so that leaks were looked for."""
        return self.root.findall("status")[-1].findtext("state") == "FINISHED"


def reports(where):
    return [Report(path)
            for path in sorted(glob.glob(os.path.join(where, "vg.*.xml")))]
