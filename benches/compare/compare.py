#!/usr/bin/env python3
"""Measures highwater beside DuckDB on one job, and checks that both have the same result. Linux.

    pip install duckdb numpy pyarrow
    python3 benches/compare/compare.py target/release/highwater --data DATA --work WORK

The job: of each hour, drop the rows without a user or with a negative amount and count them, use one row of each
event_id, and tell per country and kind of event how many there were, of how many users, for how much, and when last.

  A  all hours, from nothing                      C  three late files, with rows of three old hours
  B  the file of the next hour has come: it       D  one day is computed again
     closes an hour, and has late rows of others  N  nothing is to be done; one window of ten rows
  W  highwater only: 20,000 windows of 100 rows, against one window of the same rows and against 10,000 windows

DATA is made if it holds no meta.json. WORK must be empty, or not there: it gets links to the inputs, all outputs, and
a copy of each. The runs of the contenders take turns; what is told of each is the median of -n runs, but the highest
of the peaks. Inputs are in the page cache. Exits 1 if any result differs.
"""
import argparse, datetime, json, pathlib, statistics, sys
import pyarrow.parquet
import generate
from lake import HOUR, HOURLY, DuckDb, Highwater, Lake
from report import Report
from results import compare_bad_rows, compare_rows, published, reference

NEEDED = {"event_id", "event_time", "user_id", "event_type", "country", "amount"}
MINUTELY = HOURLY | {"minute": "%M"}
MONTHLY = {"month": "%Y-%m"}
WINDOWS, WINDOW_ROWS, WINDOW_FILES = 20_000, 100, 30


def take_turns(contenders, rounds):
    """`contenders` are functions by name, each of one run."""
    measured = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            measured[name].append(run())
    return measured


def beginning_anew(contender, *ranges):
    def run():
        contender.restore()
        return contender.measure(*ranges)
    return run


class Comparison:
    """Tasks A to N on one lake, one after the other; each begins with what the one before has left."""

    def __init__(self, options, report, data, name="hours", engine=None):
        self.options, self.report, self.data = options, report, pathlib.Path(data)
        meta = json.loads((self.data / "meta.json").read_text())
        at = datetime.datetime.fromisoformat
        self.start, self.end, self.day = at(meta["start"]), at(meta["end"]), at(meta["d_day"])
        self.late = [at(each) for each in meta["late_hours"]]
        self.meta, self.lake = meta, Lake(options.work / name)
        self.highwater = Highwater(self.lake, options.binary, engine=engine)
        self.query, self.days, self.hours = (
            DuckDb(self.lake, "query", 2), DuckDb(self.lake, "days", 2), DuckDb(self.lake, "hours"))

    def measure(self, letter, title, ranges, rounds=None):
        """`ranges` are those that each contender is told; afterwards all have the same hours and rows."""
        runs = {each.name: beginning_anew(each, *told) for each, told in ranges.items()}
        measured = take_turns(runs, rounds or self.options.n)
        others = [each for each in ranges if each is not self.highwater]
        for other in others:
            what = f"{letter}: highwater and {other.name}"
            compare_rows(published(self.highwater.out, HOURLY), published(other.out, HOURLY), HOURLY, what)
            compare_bad_rows(self.highwater, other)
        self.report.add(f"{letter} {title}", measured)
        return measured

    def all_hours(self):
        self.lake.arrive(self.data / "raw")
        self.lake.warm()
        told = [(self.start, self.end - HOUR)]  # nothing has come that would close the last hour
        ranges = {self.highwater: [], self.query: told, self.days: told, self.hours: []}
        measured = self.measure("A", "everything", ranges, None if "A" in self.options.tasks else 1)
        chunks = needed_bytes(self.lake)
        read = statistics.median(run["read"] for run in measured[self.highwater.name])
        self.report.fact(f"A: highwater reads {read / 2**20:,.0f} MiB (rchar of /proc/PID/io: all system calls, also "
                         f"of its own state), {read / chunks:.3f} × the column chunks that the query needs")
        self.keep()

    def keep(self):
        for contender in (self.highwater, self.query, self.hours):
            contender.keep()

    def next_hour(self):
        self.lake.arrive(self.data / "delta_b")
        told = [(max(self.start, self.end - 48 * HOUR), self.end)]
        self.measure("B", "next hour", {self.highwater: [], self.query: told, self.hours: []})
        self.keep()

    def one_day(self):
        told = [(self.day, self.day + 24 * HOUR)]
        if self.end < told[0][1]:
            raise AssertionError("the data has too few days")
        self.measure("D", "one day again", {self.highwater: told, self.query: told, self.hours: told})

    def late_files(self):
        self.lake.arrive(self.data / "delta_c")
        # These files come later than anyone would wait for: all days that follow are to be read.
        self.query.reach = None
        told = [(hour, hour + HOUR) for hour in self.late]
        self.measure("C", "three late files", {self.highwater: [], self.query: told, self.hours: []})
        self.keep()

    def nothing(self):
        self.measure("N", "nothing to do", {self.highwater: [], self.hours: []})

    def run(self):
        self.all_hours()
        if set("BCDN") & set(self.options.tasks):
            self.next_hour()
        if "D" in self.options.tasks:
            self.one_day()
        if set("CN") & set(self.options.tasks):
            self.late_files()
        if "N" in self.options.tasks:
            self.nothing()


def needed_bytes(lake):
    """The size of all column chunks that the query and its rules name, as the footers say."""
    size = 0
    for file in (lake.root / "raw").rglob("*.parquet"):
        footer = pyarrow.parquet.read_metadata(file)
        for group in map(footer.row_group, range(footer.num_row_groups)):
            chunks = map(group.column, range(group.num_columns))
            size += sum(chunk.total_compressed_size for chunk in chunks if chunk.path_in_schema in NEEDED)
    return size


def small_lake(options, name, windows, rows, files):
    lake = Lake(options.work / name)
    generate.generate_small_windows(lake.root, windows, rows, files)
    lake.warm()
    return lake


def ten_rows(options, report):
    lake = small_lake(options, "ten", 1, 10, 1)
    contenders = [Highwater(lake, options.binary), DuckDb(lake, "hours")]
    report.add("N one window of ten rows",
               take_turns({each.name: beginning_anew(each) for each in contenders}, options.n))
    compare_rows(*(published(each.out, HOURLY) for each in contenders), HOURLY, "ten rows")


def many_windows(options, report):
    lakes = {}
    many, half, one = (f"{WINDOWS:,} windows", f"{WINDOWS // 2:,} windows", "one window")
    for title, part, size, keys in [(many, 1, "1m", MINUTELY), (half, 2, "1m", MINUTELY), (one, 1, "1mo", MONTHLY)]:
        lake = small_lake(options, f"small-{len(lakes)}", WINDOWS // part, WINDOW_ROWS, WINDOW_FILES // part)
        lakes[title] = Highwater(lake, options.binary, size, keys), keys
    measured = take_turns({title: beginning_anew(each) for title, (each, _) in lakes.items()}, options.n)
    for title, (highwater, keys) in lakes.items():
        closed = generate.START + datetime.timedelta(days=31)
        compare_rows(published(highwater.out, keys), reference(highwater.lake, keys, closed), keys, f"W: {title}")
        report.add(f"W {title}", {highwater.name: measured[title]})
    wall = {title: statistics.median(run["wall"] for run in runs) for title, runs in measured.items()}
    over = (wall[many] - wall[one]) / measured[many][0]["windows"] * 1000
    report.fact(f"W: {over:.3f} ms a window beyond the scan; {many} take {wall[many] / wall[half]:.2f} × as long "
                f"as {half}")


def all_hours_once(options, report, title, name, data, engine=None):
    """A on a lake of its own, beside one contender; returns highwater's peak."""
    one = Comparison(options, report, data, name, engine)
    one.lake.arrive(one.data / "raw")
    one.lake.warm()
    told = [(one.start, one.end - HOUR)]
    runs = one.measure("A", title, {one.highwater: [], one.days: told}, 1)
    return runs[one.highwater.name][0]["peak"]


def twice_the_days(options, report):
    meta = json.loads((options.data / "meta.json").read_text())
    data = options.work / "data"
    generate.generate(data, meta["rows"] * 2, meta["days"] * 2)
    days = [meta["days"], meta["days"] * 2]
    once = all_hours_once(options, report, f"everything, {days[0]} days", "days", options.data)
    twice = all_hours_once(options, report, f"everything, {days[1]} days", "days-twice", data)
    report.fact(f"A: {days[1]} days peak at {twice / once:.2f} × the memory of {days[0]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--rows", type=int, default=50_000_000)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--tasks", type=lambda text: text.split(","), default=list("ABCDNW"))
    parser.add_argument("-n", type=int, default=3, help="runs of each contender")
    parser.add_argument("--twice", action="store_true", help="also A over twice the days, for its peak of memory")
    parser.add_argument("--little", action="store_true", help="also A with memory_limit = 256MiB and jobs = 1")
    parser.add_argument("--markdown", type=pathlib.Path, metavar="FILE")
    options = parser.parse_args()
    if unknown := set(options.tasks) - set("ABCDNW"):
        parser.error(f"no task {', '.join(sorted(unknown))}")
    options.data, options.work = options.data.resolve(), options.work.resolve()
    options.work.mkdir(parents=True, exist_ok=True)
    if any(options.work.iterdir()):
        parser.error(f"{options.work} is not empty")
    if not (options.data / "meta.json").exists():
        if options.data.exists() and any(options.data.iterdir()):
            parser.error(f"{options.data} has no meta.json, and other files")
        generate.generate(options.data, options.rows, options.days)
    report = Report(options)
    try:
        if set("ABCDN") & set(options.tasks):
            Comparison(options, report, options.data).run()
        if "N" in options.tasks:
            ten_rows(options, report)
        if "W" in options.tasks:
            many_windows(options, report)
        if options.little:
            engine = {"memory_limit": "256MiB", "jobs": 1}
            all_hours_once(options, report, "everything, 256 MiB", "little", options.data, engine)
        if options.twice:
            twice_the_days(options, report)
    except (AssertionError, RuntimeError) as error:
        sys.exit(f"FAIL  {error}")
    if options.markdown:
        options.markdown.write_text(report.markdown())


if __name__ == "__main__":
    main()
