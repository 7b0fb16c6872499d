"""Memory and processor of servers, from /proc."""
import os

from dp.stack.servers import descendants

# of smaps_rollup, in kB: all, and what it consists of
PARTS = ("Pss", "Pss_Anon", "Pss_File", "Pss_Shmem")


class Usage:
    """Of process trees. @param pids  their roots"""

    def __init__(self, pids):
        self.pids = list(pids)

    def all_pids(self):
        return self.pids + [d for pid in self.pids for d in descendants(pid)]

    def memory_kb(self):
        """Memory; what several share is divided among them.
        @return {of PARTS: kB}"""
        total = dict.fromkeys(PARTS, 0)
        for pid in self.all_pids():
            try:
                with open("/proc/%d/smaps_rollup" % pid) as f:
                    for line in f:
                        name, _, value = line.partition(":")
                        if name in total:
                            total[name] += int(value.split()[0])
            except (FileNotFoundError, ProcessLookupError):
                pass  # it has just ended
        return total

    def pss_mib(self):
        return self.memory_kb()["Pss"] / 1024

    def cpu_s(self):
        """Seconds of processor so far, with those of ended children."""
        ticks = 0
        for pid in self.all_pids():
            try:
                with open("/proc/%d/stat" % pid) as f:
                    fields = f.read().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            ticks += sum(int(n) for n in fields[11:15])
        return ticks / os.sysconf("SC_CLK_TCK")
