#!/usr/bin/env python3
"""The job of the comparison, as it is written with DuckDB and a few lines of Python.

usage: duckdb_job.py query|days|hours --raw DIR --out DIR [--range START END …] [--reach DAYS]

query: one statement a range. days: one statement for each day of the ranges. Both are told what to compute; of the
days of arrival they read those of the range and DAYS more (all that follow, without --reach).

hours: one statement an hour, with a manifest that says which file has rows of which hours. Without --range it finds
the new files, and computes the hours that are closed and have rows of them.

Each hour is a folder OUT/dt=…/hour=…, which takes the place of the one before when it is complete.
"""
import argparse, collections, datetime, json, os, pathlib, shutil
import duckdb

HOUR, DAY = datetime.timedelta(hours=1), datetime.timedelta(days=1)

ROWS = """
WITH source AS NOT MATERIALIZED (
    SELECT date_trunc('hour', event_time) AS began, user_id IS NULL OR coalesce(amount, 0) < 0 AS is_bad,
        event_id, event_time, user_id, event_type, country, amount
    FROM read_parquet({files}, hive_partitioning = true)
    WHERE event_time >= '{start}'::TIMESTAMP AND event_time < '{end}'::TIMESTAMP AND {arrived}),
once AS (
    SELECT began, event_id, any_value(event_time) AS event_time, any_value(user_id) AS user_id,
        any_value(event_type) AS event_type, any_value(country) AS country, any_value(amount) AS amount
    FROM source WHERE NOT is_bad GROUP BY began, event_id),
counted AS (SELECT began, count(*) FILTER (is_bad) AS bad_rows FROM source GROUP BY began)
SELECT strftime(began, '%Y-%m-%d') AS dt, strftime(began, '%H') AS hour, country, event_type, count(*) AS events,
    count(DISTINCT user_id) AS users, sum(amount) AS amount, max(event_time) AS last_event_time,
    any_value(bad_rows) AS bad_rows
FROM once JOIN counted USING (began) GROUP BY began, country, event_type"""

# One hour needs no folders made by COPY, and no join to count.
HOUR_ROWS = """
WITH source AS NOT MATERIALIZED (
    SELECT user_id IS NULL OR coalesce(amount, 0) < 0 AS is_bad,
        event_id, event_time, user_id, event_type, country, amount
    FROM read_parquet({files})
    WHERE event_time >= '{start}'::TIMESTAMP AND event_time < '{end}'::TIMESTAMP),
once AS (
    SELECT event_id, any_value(event_time) AS event_time, any_value(user_id) AS user_id,
        any_value(event_type) AS event_type, any_value(country) AS country, any_value(amount) AS amount
    FROM source WHERE NOT is_bad GROUP BY event_id)
SELECT country, event_type, count(*) AS events, count(DISTINCT user_id) AS users, sum(amount) AS amount,
    max(event_time) AS last_event_time, (SELECT count(*) FROM source WHERE is_bad) AS bad_rows
FROM once GROUP BY country, event_type"""


def replace(folder, complete):
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    complete.rename(folder)


def compute_range(connection, options, start, end):
    """One statement for all hours from `start` to `end`; returns how many had rows."""
    arrived = f"ingest_date >= '{start:%Y-%m-%d}'::DATE"
    if options.reach is not None:
        arrived += f" AND ingest_date <= '{end - datetime.timedelta(microseconds=1):%Y-%m-%d}'::DATE + {options.reach}"
    rows = ROWS.format(files=f"'{options.raw}/**/*.parquet'", start=start, end=end, arrived=arrived)
    aside = options.out / "_aside"
    shutil.rmtree(aside, ignore_errors=True)
    connection.execute(f"COPY ({rows}) TO '{aside}' (FORMAT parquet, COMPRESSION zstd, PARTITION_BY (dt, hour))")
    hours = sorted(aside.glob("dt=*/hour=*"))
    for hour in hours:
        replace(options.out / hour.relative_to(aside), hour)
    return len(hours)


def compute_hour(connection, options, start, files):
    aside = options.out / "_aside"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    rows = HOUR_ROWS.format(files=[f"{options.raw}/{file}" for file in files], start=start, end=start + HOUR)
    connection.execute(f"COPY ({rows}) TO '{aside}/data.parquet' (FORMAT parquet, COMPRESSION zstd)")
    replace(options.out / f"dt={start:%Y-%m-%d}" / f"hour={start:%H}", aside)


def look(connection, options, seen):
    """Adds the hours and the last event of each file that is not in `seen`; returns the new files."""
    found = {str(path.relative_to(options.raw)) for path in options.raw.rglob("*.parquet")}
    new = sorted(found - set(seen))
    if new:
        rows = connection.execute(
            "SELECT filename, list(DISTINCT date_trunc('hour', event_time)), max(event_time)"
            "FROM read_parquet(?, filename = true, hive_partitioning = false) GROUP BY filename",
            [[f"{options.raw}/{file}" for file in new]])
        for name, hours, last in rows.fetchall():
            seen[os.path.relpath(name, options.raw)] = [[hour.isoformat() for hour in sorted(hours)], last.isoformat()]
    return new


def compute_hours(connection, options):
    manifest = options.out / "_manifest.json"
    known = json.loads(manifest.read_text()) if manifest.exists() else {"files": {}, "closed": ""}
    new = set(look(connection, options, known["files"]))
    files = collections.defaultdict(list)
    for file, (hours, _) in known["files"].items():
        for hour in hours:
            files[hour].append(file)
    closed_before = known["closed"]
    last = max(last for _, last in known["files"].values())
    known["closed"] = datetime.datetime.fromisoformat(last).replace(minute=0, second=0, microsecond=0).isoformat()
    if options.range:
        ranges = [(start.isoformat(), end.isoformat()) for start, end in options.range]
        due = [hour for hour in files if any(start <= hour < end for start, end in ranges)]
    else:
        due = [hour for hour, having in files.items() if hour >= closed_before or new.intersection(having)]
    due = sorted(hour for hour in due if hour < known["closed"])
    for hour in due:
        compute_hour(connection, options, datetime.datetime.fromisoformat(hour), files[hour])
    if new or due:
        part = manifest.with_suffix(".part")
        part.write_text(json.dumps(known))
        part.rename(manifest)
    return len(due)


def days_of(ranges):
    for start, end in ranges:
        while start < end:
            midnight = datetime.datetime.combine(start.date(), datetime.time()) + DAY
            yield start, min(midnight, end)
            start = midnight


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("way", choices=["query", "days", "hours"])
    parser.add_argument("--raw", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--range", nargs=2, type=datetime.datetime.fromisoformat, action="append", default=[])
    parser.add_argument("--reach", type=int)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as connection:
        connection.execute(f"SET threads = {len(os.sched_getaffinity(0))}; SET preserve_insertion_order = false; "
                           f"SET enable_progress_bar = false; SET temp_directory = '{options.out}/_spilled'")
        if options.way == "hours":
            connection.execute("SET parquet_metadata_cache = true")
            windows = compute_hours(connection, options)
        else:
            ranges = days_of(options.range) if options.way == "days" else options.range
            windows = sum(compute_range(connection, options, start, end) for start, end in ranges)
    print(json.dumps({"windows": windows}))


if __name__ == "__main__":
    main()
