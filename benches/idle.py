"""What `highwater run` costs when there is nothing to do.

Makes a project of hourly windows with one tiny file for each, runs it once, then measures commands
that find nothing to do: wall time, processor time and peak memory, as medians.

usage: idle.py BINARY [--windows N ...] [--times N] [--keep FOLDER]

Needs pyarrow to make the files. With --keep the projects stay in FOLDER and are used again; to make
the one of 100,000 windows takes many minutes.
"""

import argparse
import datetime
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

CONFIG = """\
version = 1
name = "idle"

[storage]
root = "data"

[pipeline.hourly]

[pipeline.hourly.window]
size = "1h"

[pipeline.hourly.source.events]
path = "../events"
event_time = "at"

[[pipeline.hourly.step]]
name = "sums"
sql = "SELECT kind, count(*) AS events, sum(amount) AS amount FROM events GROUP BY kind"

[pipeline.hourly.output.sums]
path = "hourly/dt={start:%Y-%m-%d}/hour={start:%H}"
"""

FIRST = datetime.datetime(2010, 1, 1)
COMMANDS = (("run",), ("plan",), ("status",))


def make_files(folder, windows):
    """One file for each window, two rows each; the last file closes the window before it."""
    import pyarrow
    import pyarrow.parquet

    old = time.time() - 86_400
    for n in range(windows + 1):
        start = FIRST + datetime.timedelta(hours=n)
        rows = {
            "at": [start + datetime.timedelta(minutes=5), start + datetime.timedelta(minutes=50)],
            "kind": ["a", "b"],
            "amount": [n, n % 7],
        }
        path = folder / f"dt={start:%Y-%m-%d}" / f"part-{start:%H}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pyarrow.parquet.write_table(pyarrow.table(rows), path)
        # A file that was modified just now would have to be hashed.
        os.utime(path, (old, old))


def make(project, binary, windows):
    """The project, with every window committed."""
    made = project / "made"
    if made.exists():
        return
    (project / "events").mkdir(parents=True, exist_ok=True)
    (project / "config.toml").write_text(CONFIG)
    # In a process of its own: the peak memory of a child counts what its parent held.
    subprocess.run([sys.executable, __file__, "--files", project / "events", str(windows)], check=True)
    begun = time.monotonic()
    subprocess.run([binary, "run", "--quiet"], cwd=project, check=True)
    print(f"{windows:,} windows computed in {time.monotonic() - begun:.1f} s", flush=True)
    made.touch()


def measure(project, binary, command):
    """Wall seconds, processor seconds and peak MiB of one command."""
    begun = time.monotonic()
    child = subprocess.Popen([binary, *command], cwd=project, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.monotonic() - begun
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {child.returncode}")
    return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main():
    if sys.argv[1:2] == ["--files"]:
        return make_files(pathlib.Path(sys.argv[2]), int(sys.argv[3]))
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("binary", type=pathlib.Path)
    parser.add_argument("--windows", type=int, nargs="+", default=[720, 100_000])
    parser.add_argument("--times", type=int, default=11)
    parser.add_argument("--keep", type=pathlib.Path)
    args = parser.parse_args()
    binary = args.binary.resolve()
    with tempfile.TemporaryDirectory() as folder:
        base = args.keep.resolve() if args.keep else pathlib.Path(folder)
        print(f"{'':>8}  {'windows':>8}  {'wall':>9}  {'processor':>9}  {'memory':>9}")
        for windows in args.windows:
            project = base / str(windows)
            make(project, binary, windows)
            for command in COMMANDS:
                measure(project, binary, command)
                taken = [measure(project, binary, command) for _ in range(args.times)]
                wall, processor, memory = (statistics.median(each) for each in zip(*taken))
                print(
                    f"{command[0]:>8}  {windows:>8,}  {wall * 1000:>6.0f} ms"
                    f"  {processor * 1000:>6.0f} ms  {memory:>5.0f} MiB",
                    flush=True,
                )


if __name__ == "__main__":
    main()
