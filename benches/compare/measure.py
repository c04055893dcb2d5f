#!/usr/bin/env python3
"""Runs a command and tells what it and all processes that it started cost. Linux.

usage: measure.py RESULT COMMAND …

RESULT becomes {exit, wall, cpu, peak, read, others}: seconds; seconds of all cores, user and system; MiB of the
largest process; bytes that the command itself has read by system calls, from the page cache or not; seconds of all
cores that the rest of the machine used meanwhile. This is a process of its own because a process begins with the peak
of the one it was forked from, which must therefore be small.
"""
import ctypes, json, os, resource, subprocess, sys, time

PR_SET_CHILD_SUBREAPER = 36


def busy():
    """Seconds that the machine has computed since it started."""
    with open("/proc/stat") as stat:
        user, nice, system, _idle, _waiting, interrupts, soft_interrupts = map(int, stat.readline().split()[1:8])
    return (user + nice + system + interrupts + soft_interrupts) / os.sysconf("SC_CLK_TCK")


def main():
    result, command = sys.argv[1], sys.argv[2:]
    # What outlives the command is waited for here, and so counted.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    busy_before, start = busy(), time.monotonic()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    wall = time.monotonic() - start
    with open(f"/proc/{process.pid}/io") as counted:
        read = int(dict(line.split(": ") for line in counted)["rchar"])
    status = process.wait()
    try:
        while True:
            os.wait()
    except ChildProcessError:
        pass
    others = busy() - busy_before
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = used.ru_utime + used.ru_stime
    with open(result, "w") as file:
        json.dump({"exit": status, "wall": wall, "cpu": cpu, "peak": used.ru_maxrss / 1024, "read": read,
                   "others": max(0.0, others - cpu)}, file)


if __name__ == "__main__":
    main()
