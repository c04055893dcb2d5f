"""The folder that all contenders read, and the contenders: each keeps what it writes beside the others."""
import datetime, json, os, pathlib, shutil, subprocess, sys

HERE = pathlib.Path(__file__).resolve().parent
HOUR = datetime.timedelta(hours=1)
# Hive folders of the outputs: what stands in a path, by name.
HOURLY = {"dt": "%Y-%m-%d", "hour": "%H"}

CONFIG = '''
version = 1
name = "compare"
{engine}
[pipeline.visits.window]
size = "{size}"

[pipeline.visits.source.events]
path = "raw"
event_time = "event_time"

[pipeline.visits.source.events.dedup]
keys = ["event_id"]

[[pipeline.visits.source.events.rule]]
name = "usable"
expect = "user_id IS NOT NULL AND (amount IS NULL OR amount >= 0)"
on_violation = "drop"

[[pipeline.visits.step]]
name = "per_country"
sql = """
SELECT country, event_type, count(*) AS events, count(DISTINCT user_id) AS users, sum(amount) AS amount,
    max(event_time) AS last_event_time
FROM events GROUP BY country, event_type"""

[pipeline.visits.output.per_country]
path = "highwater/{path}"
'''


class Lake:
    """A folder in which files arrive, as hard links where that is possible."""

    def __init__(self, root):
        self.root = pathlib.Path(root)
        (self.root / "raw").mkdir(parents=True, exist_ok=True)

    def arrive(self, folder):
        for file in sorted(folder.rglob("*.parquet")):
            target = self.root / "raw" / file.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(file, target)
            except OSError:
                shutil.copy2(file, target)

    def warm(self):
        """Reads everything once, so that no contender is the first to do so."""
        for file in (self.root / "raw").rglob("*.parquet"):
            file.read_bytes()


class Contender:
    """Writes some folders of a lake. What they held when `keep` was called last comes back with `restore`."""

    name, folders = "", []

    def __init__(self, lake):
        self.lake, self.kept = lake, lake.root / "_kept" / self.folders[0]
        self.out = lake.root / self.folders[0]

    def copy(self, source, target):
        for folder in self.folders:
            shutil.rmtree(target / folder, ignore_errors=True)
            if (source / folder).exists():
                shutil.copytree(source / folder, target / folder)

    def keep(self):
        self.copy(self.lake.root, self.kept)

    def restore(self):
        self.copy(self.kept, self.lake.root)

    def measure(self, *arguments):
        """Runs the command that does so much; returns what measure.py tells, and `windows`."""
        result, log = self.lake.root / "_measured.json", self.lake.root / "_log.txt"
        command = [sys.executable, HERE / "measure.py", result, *self.command(*arguments)]
        with open(log, "w") as errors:
            process = subprocess.run(command, cwd=self.lake.root, stdout=subprocess.PIPE, stderr=errors, text=True)
        measured = json.loads(result.read_text()) if process.returncode == 0 else {"exit": "no result"}
        if measured["exit"] != 0:
            told = process.stdout[-1000:] + log.read_text()[-2000:]
            raise RuntimeError(f"{self.name} exits {measured['exit']}: {told}")
        return measured | {"windows": self.windows(json.loads(process.stdout))}


class Highwater(Contender):
    """Finds by itself what is due; only to compute a stretch again it must be told."""

    name, folders = "highwater", ["highwater", "_highwater"]

    def __init__(self, lake, binary, size="1h", keys=HOURLY, engine=None):
        super().__init__(lake)
        self.binary = pathlib.Path(binary).resolve()
        lines = [f"{key} = {json.dumps(value)}" for key, value in (engine or {}).items()]
        path = "/".join(f"{name}={{start:{form}}}" for name, form in keys.items())
        config = CONFIG.format(size=size, path=path, engine="\n".join(["[engine]", *lines] if lines else []))
        (lake.root / "config.toml").write_text(config)

    def command(self, *ranges):
        if not ranges:
            return [self.binary, "run", "--quiet", "--format", "json"]
        [[start, end]] = ranges
        between = ["--from", f"{start.isoformat()}Z", "--to", f"{end.isoformat()}Z"]
        return [self.binary, "reprocess", "visits", *between, "--yes", "--quiet", "--format", "json"]

    def windows(self, document):
        [pipeline] = document["pipelines"]
        if pipeline["windows_failed"]:
            raise RuntimeError(f"highwater: {pipeline['failures']}")
        return pipeline["windows_done"] + pipeline["windows_unchanged"]

    def bad_rows(self):
        """The rows that the last commit of each window left out, by the start of the window."""
        command = [self.binary, "history", "visits", "--limit", "65535", "--format", "json"]
        history = json.loads(subprocess.run(command, cwd=self.lake.root, check=True, capture_output=True).stdout)
        found = {}
        for commit in history["commits"]:  # newest first
            for window in commit["windows"]:
                found.setdefault(window["start"], window["rows"]["dropped"])
        return found


class DuckDb(Contender):
    """DuckDB in Python: see duckdb_job.py."""

    WAYS = {"query": "DuckDB, one query", "days": "DuckDB, a query a day", "hours": "DuckDB, a query an hour"}

    def __init__(self, lake, way, reach=None):
        self.name, self.folders = self.WAYS[way], [f"duckdb_{way}"]
        self.way, self.reach = way, reach
        super().__init__(lake)

    def command(self, *ranges):
        command = [sys.executable, HERE / "duckdb_job.py", self.way, "--raw", self.lake.root / "raw", "--out", self.out]
        for start, end in ranges:
            command += ["--range", start.isoformat(), end.isoformat()]
        return command + ([] if self.reach is None else ["--reach", str(self.reach)])

    def windows(self, document):
        return document["windows"]
