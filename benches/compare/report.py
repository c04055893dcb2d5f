"""What was measured, on a terminal and in Markdown."""
import datetime, os, platform, statistics, subprocess
import duckdb


class Report:
    """What was measured, as it is told on a terminal and in Markdown."""

    HEADER = ["task", "contender", "windows", "wall s", "CPU s", "peak MiB", "× wall", "× CPU", "× peak"]

    def __init__(self, options):
        self.lines, self.facts, self.disturbed = [], [], 0.0
        self.show(self.HEADER)
        version = subprocess.run([options.binary, "--version"], capture_output=True, text=True, check=True).stdout
        with open("/proc/cpuinfo") as cpus:
            models = [line.split(":")[1].strip() for line in cpus if line.startswith("model name")]
        cores = f"{len(os.sched_getaffinity(0))} cores of {(models or ['unknown'])[0]}"
        self.setting = (f"{datetime.date.today()}, {cores}, Linux {platform.release()}; {version.strip()}, "
                        f"DuckDB {duckdb.__version__}, Python {platform.python_version()}; medians of {options.n}")

    def add(self, task, measured):
        """`measured` has the runs of each contender by its name, highwater's first."""
        ours = None
        for name, runs in measured.items():
            wall, cpu = (statistics.median(run[each] for run in runs) for each in ("wall", "cpu"))
            told = [wall, cpu, max(run["peak"] for run in runs)]
            ratios = [f"{theirs / own:.2f}×" for theirs, own in zip(told, ours)] if ours else [""] * 3
            ours = ours or told
            self.disturbed = max(self.disturbed, *(run["others"] / run["wall"] for run in runs if run["wall"] > 1), 0.0)
            figures = [f"{runs[-1]['windows']:,}", f"{wall:.2f}", f"{cpu:.2f}", f"{told[2]:,.0f}"]
            line = [task, name, *figures, *ratios]
            self.lines.append(line)
            self.show(line)

    def show(self, line):
        left, right = line[:2], line[2:]
        print("  ".join([f"{cell:<24}" for cell in left] + [f"{cell:>8}" for cell in right]), flush=True)

    def fact(self, text):
        self.facts.append(text)
        print(text, flush=True)

    def markdown(self):
        table = [self.HEADER, ["---", "---", *["--:"] * 7], *self.lines]
        rows = ["| " + " | ".join(line) + " |" for line in table]
        notes = ["The last three columns: DuckDB's figure divided by highwater's."]
        if self.disturbed > 0.05:
            notes.append(f"The machine was not idle: others used up to {self.disturbed:.2f} cores during a run.")
        return "\n".join([self.setting, "", *rows, "", *notes, *(f"* {fact}" for fact in self.facts), ""])
