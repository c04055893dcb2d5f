#!/usr/bin/env python3
"""Dirty feeds, and DuckDB's answer to what became of each row.

usage: compare_books.py HIGHWATER [--seeds N] [--first SEED] [--workers N]

For each seed: files with duplicates within and across windows and files, nulls, values that break
rules, times that are none or absurd, in several types; they arrive in pieces, are rewritten, cut and
mended, while runs are killed at random instants. At the end the outputs, the quarantine, the rows
that belong to no window and every sum of the books must be what one query of DuckDB over the same
files says; and what one run over all of it in one go publishes must be the same, byte by byte but for
the names of attempts. Prints the seed of the first difference: `--first SEED --seeds 1` repeats it.
"""

import argparse
import datetime
import json
import multiprocessing
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time

import duckdb

UUID = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
HOURS = 6

CONFIG = """version = 1
[engine]
threads = 2
jobs = 2
[pipeline.p.window]
size = "1h"
[pipeline.p.source.t]
path = "in"
event_time = "ts"
on_type_change = "widen"
{dedup}
[[pipeline.p.source.t.rule]]
name = "amount"
expect = "amount >= 0"
reason = "no amount, or a negative one"
[[pipeline.p.source.t.rule]]
name = "status"
expect = "status <> 'void'"
on_violation = "drop"
[[pipeline.p.source.t.rule]]
name = "large"
expect = "amount < 90"
on_violation = "warn"
[[pipeline.p.step]]
name = "rows"
sql = "SELECT id, status, amount FROM t"
[[pipeline.p.step]]
name = "sums"
sql = "SELECT status, count(*) AS n, sum(amount) AS total FROM t GROUP BY status"
[pipeline.p.output.rows]
path = "out/rows/dt={{start:%Y-%m-%d}}/hr={{start:%H}}"
[pipeline.p.output.sums]
path = "out/sums/dt={{start:%Y-%m-%d}}/hr={{start:%H}}"
"""


def dedup_of(dice):
    """The dedup of a feed: its line of TOML, which row is kept, whether ordered, how far across."""
    if dice.random() < 0.2:
        return "", None, False, 0
    keep = dice.choice(["first", "last"])
    ordered = dice.random() < 0.5
    across = dice.choice([0, 30, 90, 1440]) if keep == "first" else 0
    line = f'dedup = {{ keys = ["id"], keep = "{keep}"'
    line += ', order_by = ["amount"]' if ordered else ""
    line += f', across = "{across}m"' if across else ""
    return line + " }", keep, ordered, across


def rows_of(dice):
    """Some rows, as SQL."""
    rows = []
    for _ in range(dice.randint(0, 12)):
        ident = dice.choice(["NULL", "1", "2", "3", "4", "5"])
        status = dice.choice(["'ok'", "'ok'", "'void'", "'new'", "NULL"])
        amount = dice.choice(["NULL", "-5", "0", "7", "50", "95"])
        minute = dice.randrange(HOURS * 60)
        edge = dice.choice([0, 0, 0, 59_999_999, 1])
        at = f"TIMESTAMP '2026-01-01' + INTERVAL {minute} MINUTE + INTERVAL {edge} MICROSECOND"
        at = dice.choice([at] * 12 + ["NULL", "TIMESTAMP '2200-01-01'", "TIMESTAMP '9999-12-31'"])
        rows.append(f"({ident}, {status}, {amount}, {at})")
    return rows


def write(dice, path, is_uniform):
    """Writes a file of some rows, its columns in one of the types and orders that they may have."""
    rows = rows_of(dice)
    values = ", ".join(rows) if rows else "(1, 'ok', 1, TIMESTAMP '2026-01-01')"
    only = "" if rows else " WHERE false"
    is_whole = "MICROSECOND" not in values.replace("INTERVAL 0 MICROSECOND", "")
    stamp = dice.choice(["TIMESTAMP", "TIMESTAMP_MS" if is_whole else "TIMESTAMP"])
    number = dice.choice(["INTEGER", "BIGINT", "SMALLINT"])
    if is_uniform:
        stamp, number = "TIMESTAMP", "INTEGER"
    columns = [
        f"CAST(id AS {number}) AS id",
        "CAST(status AS VARCHAR) AS status",
        f"CAST(amount AS {number}) AS amount",
        f"CAST(ts AS {stamp}) AS ts",
    ]
    if not is_uniform:
        dice.shuffle(columns)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    part = path + ".part"
    duckdb.sql(
        f"COPY (SELECT {', '.join(columns)} FROM (VALUES {values}) AS v(id, status, amount, ts){only})"
        f" TO '{part}' (FORMAT parquet, ROW_GROUP_SIZE 2048)"
    )
    os.replace(part, path)


def command(binary, folder, *arguments):
    return [binary, "-q", "--config", os.path.join(folder, "config.toml"), *arguments]


def run(binary, folder, kill_after=None):
    """Runs once; whether it ended by itself."""
    process = subprocess.Popen(
        command(binary, folder, "run"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        _, told = process.communicate(timeout=kill_after or 120)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        if kill_after is None:
            raise AssertionError("the run does not end")
        return False, ""
    return process.returncode == 0, told.decode()


def oracle(folder, keep, ordered, across):
    """What became of each row, in a table `fates`."""
    base = duckdb.connect()
    root = os.path.join(folder, "in") + "/"
    files = [os.path.join(at, name) for at, _, names in os.walk(root) for name in names]
    base.sql("CREATE TABLE raw (key VARCHAR, row BIGINT, id BIGINT, status VARCHAR, amount BIGINT, ts TIMESTAMP)")
    for path in files:
        base.execute(
            "INSERT INTO raw SELECT ?, file_row_number, id, status, amount, ts::TIMESTAMP"
            f" FROM read_parquet('{path}', file_row_number = true)",
            [path[len(root):]],
        )
    base.sql("""
        CREATE TABLE placed AS SELECT *, CASE
            WHEN ts IS NULL OR ts >= TIMESTAMP '9999-12-31' THEN 'null_time'
            WHEN ts >= TIMESTAMP '2100-01-01' THEN 'future'
            END AS outside, date_trunc('hour', ts) AS home FROM raw
    """)
    base.sql("""
        CREATE TABLE ruled AS SELECT *, CASE
            WHEN outside IS NOT NULL THEN outside
            WHEN NOT coalesce(amount >= 0, false) THEN 'quarantined'
            WHEN NOT coalesce(status <> 'void', false) THEN 'dropped'
            ELSE 'used' END AS fate FROM placed
    """)
    amount = "amount NULLS FIRST, " if ordered else ""
    order = f"{amount}key, row"
    if keep == "last":
        amount = "amount DESC NULLS LAST, " if ordered else ""
        order = f"{amount}key DESC, row DESC"
    duplicate = "false"
    if keep:
        duplicate = "place > 1" + (
            f""" OR EXISTS (SELECT 1 FROM ruled e WHERE e.fate = 'used' AND e.home < r.home
                 AND e.id IS NOT DISTINCT FROM r.id AND r.ts < e.ts + INTERVAL {across} MINUTE)"""
            if across
            else ""
        )
    base.sql(f"""
        CREATE TABLE fates AS SELECT key, row, id, status, amount, ts, home,
            CASE WHEN fate = 'used' AND ({duplicate}) THEN 'duplicate' ELSE fate END AS fate
        FROM (SELECT *, row_number() OVER (PARTITION BY home, id, fate ORDER BY {order}) AS place
              FROM ruled) r
    """)
    last = base.sql("SELECT max(home) FROM fates WHERE fate NOT IN ('null_time', 'future')").fetchall()[0][0]
    return base, last


def published(folder, pattern, columns):
    path = os.path.join(folder, pattern)
    try:
        return duckdb.sql(
            f"SELECT {columns} FROM read_parquet('{path}', hive_partitioning = {'dt' in columns},"
            " union_by_name = true)"
            " ORDER BY ALL"
        ).fetchall()
    except duckdb.IOException:
        return []


def compare(what, told, expected):
    if told != expected:
        raise AssertionError(f"{what}: {told} but DuckDB says {expected}")


def check_books(binary, folder, base, last):
    counts = dict(base.sql("""
        SELECT fate, count(*) FROM fates WHERE home < $last OR fate IN ('null_time', 'future')
        GROUP BY fate""", params={"last": last}).fetchall())
    open_rows = base.sql("""
        SELECT count(*) FROM fates WHERE home >= $last AND fate NOT IN ('null_time', 'future')""",
        params={"last": last}).fetchall()[0][0]
    done = subprocess.run(
        command(binary, folder, "verify", "--balance", "--format", "json"), capture_output=True
    )
    document = json.loads(done.stdout)
    compare("verify --balance", (done.returncode, document["problems"]), (0, []))
    books = document["balance"]
    for place in ["used", "quarantined", "dropped", "duplicate", "null_time", "future"]:
        compare(f"books, {place}", books[place], counts.get(place, 0))
    compare("books, open", books["open"], open_rows)
    compare("books, rows", books["rows"], base.sql("SELECT count(*) FROM fates").fetchall()[0][0])
    done = subprocess.run(command(binary, folder, "verify"), capture_output=True)
    compare("verify", done.returncode, 0)


def watermark(binary, folder):
    """Where the watermark stands; `None` if it never moved."""
    done = subprocess.run(command(binary, folder, "status", "--format", "json"), capture_output=True)
    told = json.loads(done.stdout)["pipelines"][0]["watermark"]
    return told and datetime.datetime.fromisoformat(told).replace(tzinfo=None)


def objects(folder):
    """The bytes of every object with rows, without the names of attempts."""
    found = {}
    for root in ["out", "quarantine", "quarantine_time"]:
        for at, _, names in os.walk(os.path.join(folder, root)):
            for name in names:
                path = os.path.join(at, name)
                if not name.endswith(".parquet"):
                    continue
                if duckdb.sql(f"SELECT count(*) FROM read_parquet('{path}')").fetchall()[0][0] > 0:
                    with open(path, "rb") as file:
                        found[os.path.relpath(path, folder)] = UUID.sub(b"", file.read())
    return found


def check(binary, folder, keep, ordered, across):
    base, newest = oracle(folder, keep, ordered, across)
    last = watermark(binary, folder)
    if newest is None or last is None:
        return
    # It is held to every version of a file that was ever there, and never goes back.
    if last < newest:
        raise AssertionError(f"the watermark is {last}, and there are rows of {newest}")
    expected = base.sql("""
        SELECT strftime(home, '%Y-%m-%d'), strftime(home, '%H'), id, status, amount FROM fates
        WHERE fate = 'used' AND home < $last ORDER BY ALL""", params={"last": last}).fetchall()
    columns = "strftime(dt, '%Y-%m-%d'), printf('%02d', hr::INT), id, status, amount"
    compare("rows", published(folder, "out/rows/**/*.parquet", columns), expected)
    expected = base.sql("""
        SELECT strftime(home, '%Y-%m-%d'), strftime(home, '%H'), status, count(*), sum(amount)::BIGINT
        FROM fates WHERE fate = 'used' AND home < $last GROUP BY ALL ORDER BY ALL""",
        params={"last": last}).fetchall()
    columns = "strftime(dt, '%Y-%m-%d'), printf('%02d', hr::INT), status, n, total::BIGINT"
    compare("sums", published(folder, "out/sums/**/*.parquet", columns), expected)
    expected = base.sql("""
        SELECT 'in/' || key, row, id, status, amount, 'amount' FROM fates
        WHERE fate = 'quarantined' AND home < $last ORDER BY ALL""", params={"last": last}).fetchall()
    columns = "_source_file, _source_row, id, status, amount, _rule"
    compare("quarantine", published(folder, "quarantine/**/*.parquet", columns), expected)
    expected = base.sql("""
        SELECT 'in/' || key, row, fate FROM fates
        WHERE fate IN ('null_time', 'future') ORDER BY ALL""").fetchall()
    columns = "_source_file, _source_row, _rule"
    compare("aside", published(folder, "quarantine_time/**/*.parquet", columns), expected)
    check_books(binary, folder, base, last)


def one(task):
    binary, seed = task
    dice = random.Random(seed)
    line, keep, ordered, across = dedup_of(dice)
    # What the columns of a table are is fixed by the first file that is admitted.
    is_uniform = dice.random() < 0.5
    kills = 0
    with tempfile.TemporaryDirectory(prefix="highwater-books-") as folder:
        config = CONFIG.format(dedup=line)
        with open(os.path.join(folder, "config.toml"), "w") as file:
            file.write(config)
        names = ["in/a.parquet", "in/b.parquet", "in/x/c.parquet", "in/y/d.parquet"]
        try:
            for _ in range(dice.randint(2, 4)):
                for _ in range(dice.randint(1, 3)):
                    write(dice, os.path.join(folder, dice.choice(names)), is_uniform)
                cut = os.path.join(folder, dice.choice(names))
                is_cut = dice.random() < 0.2 and os.path.exists(cut)
                if is_cut:
                    with open(cut, "rb") as file:
                        whole = file.read()
                    with open(cut, "wb") as file:
                        file.write(whole[: len(whole) // 2])
                if dice.random() < 0.5:
                    ended, _ = run(binary, folder, kill_after=dice.uniform(0.02, 0.4))
                    kills += not ended
                if is_cut:
                    run(binary, folder)
                    with open(cut, "wb") as file:
                        file.write(whole)
            ended, told = run(binary, folder)
            if not ended:
                raise AssertionError(f"the last run failed: {told}")
            check(binary, folder, keep, ordered, across)
            with tempfile.TemporaryDirectory(prefix="highwater-books-") as other:
                shutil.copytree(os.path.join(folder, "in"), os.path.join(other, "in"))
                shutil.copy(os.path.join(folder, "config.toml"), other)
                ended, told = run(binary, other)
                if not ended:
                    raise AssertionError(f"the run in one go failed: {told}")
                one_go, piecewise = objects(other), objects(folder)
                # In pieces the watermark may have come further, by rows that are gone.
                compare("objects in one go alone", sorted(set(one_go) - set(piecewise)), [])
                differing = [name for name in one_go if one_go[name] != piecewise[name]]
                if is_uniform:
                    compare("objects with other bytes in one go", differing, [])
                check(binary, other, keep, ordered, across)
            return seed, kills, None
        except Exception as why:
            return seed, kills, f"{type(why).__name__}: {why}\n{line}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("binary")
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    binary = os.path.abspath(arguments.binary)
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    began, kills, wrong = time.monotonic(), 0, 0
    with multiprocessing.Pool(arguments.workers) as pool:
        for seed, killed, why in pool.imap_unordered(one, [(binary, seed) for seed in seeds]):
            kills += killed
            if why:
                wrong += 1
                print(f"seed {seed}: {why}", file=sys.stderr)
                if wrong >= 5:
                    pool.terminate()
                    break
    took = time.monotonic() - began
    print(f"{len(seeds)} dirty feeds, {kills} runs killed, {wrong} differ, {took:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
