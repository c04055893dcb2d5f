#!/usr/bin/env python3
"""Compares highwater from outside with DuckDB: whatever the order of the runs, whatever went wrong in between, its
outputs equal one query over all the input.

usage: compare_duckdb.py BINARY [--days N] [--kills N] [--seed N] [CASE ...]       needs: pip install duckdb

Every case makes its own project of two pipelines, hourly in UTC and daily in New York, over days of fixtures/flights
around the change to summer time. It knows highwater only by its command line, its JSON and its files.
"""
import argparse, datetime, json, os, pathlib, random, shutil, subprocess, sys, tempfile, time
import duckdb

FEED = pathlib.Path(__file__).resolve().parent.parent / "fixtures" / "flights"
DST = "reported=2013-03-10"  # New York's day of 23 hours

CONFIG = '''
version = 1
name = "compare"

[pipeline.hourly.window]
size = "1h"
{begin}
[pipeline.hourly.source.flights]
path = "in"
event_time = "event_time"

[[pipeline.hourly.step]]
name = "origins"
sql = """
SELECT origin, count(*) AS flights, count(tailnum) AS named, sum(dep_delay) AS delay, max(distance) AS furthest
FROM flights GROUP BY origin"""

[pipeline.hourly.output.origins]
path = "out/hourly/day={{start:%Y-%m-%d}}/hour={{start:%H}}"

[pipeline.daily.window]
size = "1d"
timezone = "America/New_York"
{begin}
[pipeline.daily.source.flights]
path = "in"
event_time = "event_time"

[[pipeline.daily.step]]
name = "late"
sql = "SELECT * FROM flights WHERE dep_delay > 0"

[[pipeline.daily.step]]
name = "carriers"
sql = """
SELECT carrier, count(*) AS late, sum(dep_delay) AS delay, min(flight_id) AS first FROM late GROUP BY carrier"""

[pipeline.daily.output.carriers]
path = "out/daily/day={{start:%Y-%m-%d}}"
sort_by = ["carrier"]
'''

# The rows of all closed windows of all the input; their windows begin and end in local time.
CLOSED = """(SELECT *, date_trunc('{unit}', event_time AT TIME ZONE 'UTC' AT TIME ZONE '{zone}') AS w FROM {feed}
    WHERE (w + INTERVAL 1 {unit}) AT TIME ZONE '{zone}' <= (SELECT max(event_time) FROM {feed}) AT TIME ZONE 'UTC')"""
# Of each pipeline: its windows, the rows that its outputs must hold, the rows that they hold.
PIPELINES = {
    "hourly": (
        "hour", "UTC",
        "SELECT w, origin, count(*), count(tailnum), sum(dep_delay), max(distance) FROM {closed} GROUP BY ALL",
        "SELECT strptime(day || hour, '%Y-%m-%d%H'), origin, flights, named, delay, furthest FROM {output}"),
    "daily": (
        "day", "America/New_York",
        "SELECT w, carrier, count(*), sum(dep_delay), min(flight_id) FROM {closed} WHERE dep_delay > 0 GROUP BY ALL",
        "SELECT strptime(day, '%Y-%m-%d'), carrier, late, delay, first FROM {output}"),
}


class Project:
    """A folder with a configuration, an input that grows, and the binary that runs in it."""

    def __init__(self, options, begin=None):
        self.binary, self.root = os.path.abspath(options.binary), pathlib.Path(options.folder)
        (self.root / "in").mkdir()
        (self.root / "config.toml").write_text(CONFIG.format(begin=f'begin = "{begin}"\n' if begin else ""))
        days = sorted(day.name for day in FEED.iterdir())
        first = max(0, min(days.index(DST) - options.days // 2, len(days) - options.days))
        self.days = days[first:first + options.days]

    def feed(self, count):
        """The next `count` days arrive; returns whether there were any left."""
        arriving, self.days = self.days[:count], self.days[count:]
        return [shutil.copytree(FEED / day, self.root / "in" / day) for day in arriving] != []

    def start(self, *command):
        return subprocess.Popen([self.binary, *command], cwd=self.root, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def call(self, *command, exit_code=0):
        process = self.start(*command, "--format", "json")
        out, err = process.communicate()
        assert process.returncode == exit_code, f"{command} exits {process.returncode}\n{out[-2000:]}{err[-2000:]}"
        return json.loads(out)

    def query(self, sql, pipeline):
        """The one row of an answer of DuckDB's about all the input and the outputs of a pipeline."""
        unit, zone, wanted, found = PIPELINES[pipeline]
        names = {"unit": unit, "zone": zone, "feed": f"'{self.root}/in/**/*.parquet'"}
        names["closed"] = CLOSED.format(**names)
        output = f"read_parquet('{self.root}/out/{pipeline}/**/*.parquet', hive_types_autocast=false)"
        names |= {"wanted": wanted.format(**names), "found": found.format(output=output)}
        with duckdb.connect() as connection:
            [row] = connection.execute(sql.format(**names)).fetchall()
        return row

    def compare(self, pipeline):
        """All rows of all closed windows are in the outputs, and no others; returns how many."""
        rows, missing, extra = self.query("""WITH wanted AS ({wanted}), found AS ({found}) SELECT
            (SELECT count(*) FROM wanted), (SELECT count(*) FROM (FROM wanted EXCEPT ALL FROM found)),
            (SELECT count(*) FROM (FROM found EXCEPT ALL FROM wanted))""", pipeline)
        assert rows and not missing and not extra, f"{pipeline}: {missing} of {rows} rows missing, {extra} too many"
        return rows

    def status(self, pipeline):
        [found] = [each for each in self.call("status")["pipelines"] if each["pipeline"] == pipeline]
        return found

    def settled(self):
        """Everything is as one uninterrupted run would have left it; returns the number of rows compared."""
        rows = sum(self.compare(pipeline) for pipeline in PIPELINES)
        for pipeline in PIPELINES:
            status = self.status(pipeline)
            told = {state: status["windows"][state] for state in ("pending", "stale", "failed")}
            told |= {"watermark": instant(status["watermark"]), "rows": status["rows"]["in"],
                     "objects": len(list((self.root / "out" / pipeline).rglob("data.parquet")))}
            watermark, there, windows = self.query("""SELECT
                (SELECT date_trunc('{unit}', max(event_time) AT TIME ZONE 'UTC' AT TIME ZONE '{zone}') FROM {feed})
                    AT TIME ZONE '{zone}' AT TIME ZONE 'UTC', count(*), count(DISTINCT w) FROM {closed}""", pipeline)
            wanted = {"pending": 0, "stale": 0, "failed": 0, "watermark": watermark, "rows": there, "objects": windows}
            assert told == wanted, f"{pipeline}: {told}, not {wanted}"
        assert self.call("verify")["ok"]
        before = self.files()
        assert not any(each["windows_done"] for each in self.call("run")["pipelines"]), "a second run has nothing to do"
        after = self.files()
        assert after == before, f"a second run wrote {sorted(dict(after.items() ^ before.items()))[:3]}"
        names = {pathlib.Path(path).name for path in before if path.startswith("out/")}
        assert names <= {"data.parquet", "_OWNER.json"}, f"left behind: {names}"
        return rows

    def files(self):
        """All of the outputs and the state: what is written shows as another time or inode."""
        found = (path for folder in ("out", "_highwater") for path in (self.root / folder).rglob("*") if path.is_file())
        return {str(path.relative_to(self.root)): (path.stat().st_mtime_ns, path.stat().st_ino) for path in found}


def instant(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).replace(tzinfo=None)


def computed(options, begin=None):
    project = Project(options, begin)
    project.feed(options.days)
    project.call("run")
    return project


def case_all_at_once(options):
    project = computed(options)
    return f"{project.settled()} rows"


def case_day_by_day(options):
    project, windows = Project(options), 0
    while project.feed(1):
        planned = {each["pipeline"]: len(each["windows"]) for each in project.call("plan")["pipelines"]}
        for each in project.call("run")["pipelines"]:
            done = each["windows_done"] + each["windows_unchanged"]
            assert each["windows_failed"] == 0 and done >= planned[each["pipeline"]], f"planned {planned}, done {each}"
            windows += done
    return f"{project.settled()} rows, {windows} windows computed"


def case_killed(options):
    """A day arrives before every second kill. The moment of a kill is drawn from the time that a run takes."""
    project, dice, hits, longest = Project(options), random.Random(options.seed), 0, 0.5
    for kill in range(options.kills):
        project.feed(1 - kill % 2)
        process, clock = project.start("run"), time.monotonic()
        try:
            process.communicate(timeout=dice.uniform(0, longest))
            longest = time.monotonic() - clock
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            hits, longest = hits + 1, longest * 1.3
    project.feed(options.days)
    project.call("run")
    return f"{project.settled()} rows, {hits} of {options.kills} kills hit a run"


def case_backfilled(options):
    begin = DST.removeprefix("reported=")
    project = computed(options, begin)
    early = [day.name for day in project.root.glob("out/*/day=*") if day.name < f"day={begin}"]
    assert not early, f"computed before `begin`: {early}"
    for pipeline in PIPELINES:
        before = project.status(pipeline)["watermark"]
        project.call("backfill", pipeline, "--from", "2013-01-01", "--to", begin, "--yes")
        assert project.status(pipeline)["watermark"] == before, "a backfill does not move the watermark"
    return f"{project.settled()} rows"


def case_corrupted(options):
    project = computed(options)
    hours = sorted((project.root / "out" / "hourly").rglob("data.parquet"))
    cut, flipped, lost, swapped, other = hours[3:8]
    cut.write_bytes(cut.read_bytes()[:-7])
    flipped.write_bytes(bytes(byte ^ (place == 40) for place, byte in enumerate(flipped.read_bytes())))
    lost.unlink()
    swapped.write_bytes(other.read_bytes())
    damaged = {datetime.datetime.strptime("/".join(path.parts[-3:-1]), "day=%Y-%m-%d/hour=%H") for path in hours[3:7]}
    verified = project.call("verify", exit_code=1)
    found = {instant(problem["start"]) for problem in verified["problems"]}
    assert not verified["ok"] and found == damaged, f"damaged {sorted(damaged)}, found {verified['problems']}"
    first, end = min(damaged), max(damaged) + datetime.timedelta(hours=1)
    project.call("reprocess", "hourly", "--from", f"{first.isoformat()}Z", "--to", f"{end.isoformat()}Z", "--yes")
    return f"{project.settled()} rows, {len(found)} damaged objects found and mended"


CASES = {name.removeprefix("case_"): case for name, case in list(globals().items()) if name.startswith("case_")}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary")
    parser.add_argument("case", nargs="*", default=list(CASES))
    for name, default in {"--days": 10, "--kills": 20, "--seed": 1}.items():
        parser.add_argument(name, type=int, default=default)
    options = parser.parse_intermixed_args()
    failed = 0
    for name in options.case:
        clock, options.folder = time.monotonic(), tempfile.mkdtemp(prefix="highwater-")
        try:
            print(f"ok    {name}: {CASES[name](options)} ({time.monotonic() - clock:.1f} s)", flush=True)
            shutil.rmtree(options.folder)
        except Exception as error:  # whatever keeps a case from its end has failed it
            failed += 1
            print(f"FAIL  {name} in {options.folder}: {type(error).__name__}: {error}", flush=True)
    print(f"{len(options.case) - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
