"""Whether two contenders have published the same."""
import duckdb

MEASURES = ("events", "users", "last_event_time")

REFERENCE = """
SELECT {keys}, country, event_type, count(*) AS events, count(DISTINCT user_id) AS users, sum(amount) AS amount,
    max(event_time) AS last_event_time
FROM (SELECT DISTINCT ON (event_id) * FROM read_parquet('{raw}/**/*.parquet')
    WHERE user_id IS NOT NULL AND coalesce(amount, 0) >= 0 AND event_time < '{closed}'::TIMESTAMP)
GROUP BY ALL"""

DIFFERENCES = """
WITH ours AS ({ours}), theirs AS ({theirs})
SELECT count(ours.events), count(*) FILTER (ours.events IS NULL), count(*) FILTER (theirs.events IS NULL),
    count(*) FILTER ({changed}) FROM ours FULL JOIN theirs USING ({keys}, country, event_type)"""


def published(folder, keys):
    columns = [*keys, "country", "event_type", *MEASURES, "amount"]
    return (f"SELECT {', '.join(columns)} FROM read_parquet('{folder}/**/*.parquet', hive_partitioning = true, "
            "hive_types_autocast = false)")


def compare_rows(ours, theirs, keys, what):
    """Both queries have the same rows, amounts within a millionth; returns how many."""
    amounts = "ours.amount - theirs.amount", "1e-6 * greatest(abs(ours.amount), abs(theirs.amount))"
    changed = [f"ours.{each} IS DISTINCT FROM theirs.{each}" for each in MEASURES]
    changed.append("(ours.amount IS NULL) <> (theirs.amount IS NULL)")
    changed.append("abs({}) > {}".format(*amounts))
    both = "ours.events IS NOT NULL AND theirs.events IS NOT NULL"
    changed = f"{both} AND ({' OR '.join(changed)})"
    sql = DIFFERENCES.format(ours=ours, theirs=theirs, keys=", ".join(keys), changed=changed)
    with duckdb.connect() as connection:
        rows, missing, extra, different = connection.execute(sql).fetchone()
    if not rows or missing or extra or different:
        raise AssertionError(f"{what}: of {rows} rows {different} differ, {extra} are too many, {missing} are missing")
    return rows


def compare_bad_rows(highwater, other):
    with duckdb.connect() as connection:
        theirs = connection.execute(
            "SELECT strptime(dt || hour, '%Y-%m-%d%H'), any_value(bad_rows) FROM read_parquet("
            f"'{other.out}/**/*.parquet', hive_partitioning = true, hive_types_autocast = false) GROUP BY 1")
        theirs = {f"{start.isoformat()}Z": bad for start, bad in theirs.fetchall()}
    ours = highwater.bad_rows()
    if ours != theirs:
        differing = sorted(start for start in ours.keys() | theirs.keys() if ours.get(start) != theirs.get(start))
        raise AssertionError(f"bad rows differ from {other.name} in {len(differing)} windows, first {differing[0]}")
    return sum(ours.values())


def reference(lake, keys, closed):
    keys = ", ".join(f"strftime(event_time, '{form}') AS {name}" for name, form in keys.items())
    return REFERENCE.format(keys=keys, raw=lake.root / "raw", closed=closed)
