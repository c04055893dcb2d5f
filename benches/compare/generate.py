"""Makes the events that the comparison computes: visits to a shop, as files that arrived hour by hour.

DIR/raw/ingest_date=…/ingest_hour=…/part-0000.parquet   one file for each hour of arrival
DIR/delta_b/…                                           the file of the next hour
DIR/delta_c/…                                           three late files, with rows of one old hour each
DIR/meta.json                                           which hours those are

Of the rows of a file, 3 % come 1 to 90 minutes after their event, 0.1 % up to two days after it, 1 % repeat an
earlier row under the same event_id (a fifth of these in the file of the next hour), and 0.1 % have no user or a
negative amount. The same seed gives the same rows, whatever the number of processes.
"""
import datetime, functools, json, math, multiprocessing, os, pathlib
import numpy, pyarrow, pyarrow.parquet

SECOND = 1_000_000
MINUTE, HOUR = 60 * SECOND, 3600 * SECOND
START = datetime.datetime(2026, 1, 1)
LATE_ROWS = 1000

KINDS = {"page_view": 0.55, "click": 0.25, "scroll": 0.10, "add_to_cart": 0.05, "checkout": 0.03, "purchase": 0.02}
COUNTRIES = ("US CN IN BR DE GB FR JP MX ID ES IT KR CA TR NL PL AR AU SE BE CH AT TH VN PH CL CO ZA NG EG KE UA RO GR "
             "CZ PT HU FI IE")
NAMES = {
    "event_type": list(KINDS), "country": COUNTRIES.split(),
    "page": [f"/shop/department-{page % 19}/article-{page:05d}/details-and-reviews" for page in range(2000)],
    "referrer": [f"https://partner-{place}.example.com/landing/newsletter?week={place % 52}" for place in range(300)],
}
DICTIONARIES = ["event_type", "page", "country", "referrer", "user_id", "amount"]


def micros(at):
    return (at - datetime.datetime(1970, 1, 1)) // datetime.timedelta(microseconds=1)


def skewed(dice, count, choices):
    """Numbers below `choices`, of which the n-th is drawn with a probability of about 1/n."""
    drawn = (choices + 1.0) ** dice.random(count)
    return numpy.minimum(drawn.astype(numpy.int64) - 1, choices - 1)


def select(rows, places):
    return {name: values[places] for name, values in rows.items()}


def joined(parts):
    return {name: numpy.concatenate([part[name] for part in parts]) for name in parts[0]}


def events(shape, dice, count, arrive_from, event_from=None):
    """`count` new rows that arrive within an hour; with `event_from` their events are of the hour that begins there."""
    arrived = arrive_from + dice.integers(0, HOUR, count)
    delay = numpy.minimum(dice.exponential(1.5 * SECOND, count), 30 * SECOND).astype(numpy.int64)
    fate = dice.random(count)
    late, very_late = fate < 0.03, fate > 0.999
    delay[late] = dice.integers(MINUTE, 90 * MINUTE, late.sum())
    delay[very_late] = dice.integers(90 * MINUTE, 48 * HOUR, very_late.sum())
    happened = arrived - delay
    if event_from is not None:
        happened = event_from + dice.integers(0, HOUR, count)
    # Nothing happened before the first hour: what would have, happened between its start and the arrival.
    too_early = happened < shape["start"]
    happened[too_early] = shape["start"] + dice.random(too_early.sum()) * (arrived[too_early] - shape["start"])
    flaw = dice.random(count)
    amount = numpy.round(dice.lognormal(3, 1, count), 2)
    amount[dice.random(count) < 0.6] = numpy.nan
    negative = flaw > 0.9995
    amount[negative] = -numpy.round(dice.lognormal(3, 1, negative.sum()), 2) - 0.01
    referrer = skewed(dice, count, len(NAMES["referrer"]))
    referrer[dice.random(count) < 0.2] = -1
    user = (skewed(dice, count, shape["users"]) + 1) * 0x9E3779B1 & 0xFFFFFFFFFF
    user[flaw < 0.0005] = -1
    return {
        "event_id": dice.integers(0, 256, (count, 16), numpy.uint8), "event_time": happened, "ingest_time": arrived,
        "user_id": user, "event_type": dice.choice(len(KINDS), count, p=list(KINDS.values())),
        "page": skewed(dice, count, len(NAMES["page"])), "country": skewed(dice, count, len(NAMES["country"])),
        "amount": amount, "referrer": referrer}


def fresh(shape, hour):
    """The rows that arrive in an hour for the first time."""
    dice = numpy.random.default_rng([shape["seed"], hour])
    return events(shape, dice, round(shape["rows"][hour] * 0.99), shape["start"] + hour * HOUR)


def repeated(shape, hour, rows, share, arrive_from):
    """Some of `rows` once more, which arrive later in the hour from `arrive_from`."""
    dice = numpy.random.default_rng([shape["seed"], hour, round(share * 1000)])
    rows = select(rows, dice.integers(0, len(rows["event_time"]), round(shape["rows"][hour] * share)))
    rows["ingest_time"] = dice.integers(numpy.maximum(rows["ingest_time"], arrive_from), arrive_from + HOUR)
    return rows


def texts(identifiers):
    """Sixteen bytes each as 8-4-4-4-12 hexadecimal digits."""
    count = len(identifiers)
    digits = numpy.frombuffer(identifiers.tobytes().hex().encode(), numpy.uint8).reshape(count, 32)
    text = numpy.insert(digits, [8, 12, 16, 20], ord("-"), axis=1)
    ends = numpy.arange(0, 36 * count + 1, 36, dtype=numpy.int32)
    return pyarrow.StringArray.from_buffers(count, pyarrow.py_buffer(ends), pyarrow.py_buffer(text.tobytes()))


def table(rows):
    columns = {"event_id": texts(rows["event_id"])}
    for name in ("event_time", "ingest_time"):
        columns[name] = pyarrow.array(rows[name], pyarrow.timestamp("us"))
    columns["user_id"] = pyarrow.array(rows["user_id"], mask=rows["user_id"] < 0)
    columns["amount"] = pyarrow.array(rows["amount"], mask=numpy.isnan(rows["amount"]))
    for name, names in NAMES.items():
        codes = pyarrow.array(rows[name].astype(numpy.int16), mask=rows[name] < 0)
        columns[name] = pyarrow.DictionaryArray.from_arrays(codes, names)
    order = ["event_id", "event_time", "ingest_time", "user_id", "event_type", "page", "country", "amount", "referrer"]
    return pyarrow.table({name: columns[name] for name in order})


def write(rows, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    # Without the Arrow schema in the footer a reader sees plain columns, as most writers leave them.
    pyarrow.parquet.write_table(rows, path, compression="zstd", row_group_size=120_000, use_dictionary=DICTIONARIES,
                                store_schema=False)


def place(folder, start, hour, name="part-0000.parquet"):
    at = start + datetime.timedelta(hours=hour)
    return folder / f"ingest_date={at:%Y-%m-%d}" / f"ingest_hour={at:%H}" / name


def write_hours(hours, shape, folder):
    """The files of consecutive hours: each needs the new rows of the hour before, for those that are repeated."""
    before = fresh(shape, hours[0] - 1) if hours[0] else None
    for hour in hours:
        rows = fresh(shape, hour)
        begin = shape["start"] + hour * HOUR
        parts = [rows, repeated(shape, hour, rows, 0.008, begin)]
        if before:
            parts.append(repeated(shape, hour, before, 0.002, begin))
        whole = joined(parts)
        order = numpy.random.default_rng([shape["seed"], hour, 0]).permutation(len(whole["event_time"]))
        write(table(select(whole, order)), place(folder, START, hour))
        before = rows


def generate(folder, rows, days, seed=1):
    """Fills `folder`; meta.json comes last, so a folder that has it is complete."""
    folder, hours = pathlib.Path(folder), days * 24
    # Fewest rows at three in the morning, most at three in the afternoon.
    load = [1 + 0.6 * math.sin(math.tau * (hour - 9) / 24) for hour in range(hours)]
    counts = [round(rows * each / sum(load)) for each in load]
    shape = {"seed": seed, "start": micros(START), "rows": counts + counts[:1], "users": max(1000, rows // 20)}
    write_day = functools.partial(write_hours, shape=shape, folder=folder / "raw")
    with multiprocessing.Pool(os.cpu_count()) as pool:
        for _ in pool.imap_unordered(write_day, [range(first, first + 24) for first in range(0, hours, 24)]):
            pass
    write_hours(range(hours, hours + 1), shape, folder / "delta_b")
    late = [hours * fifths // 10 for fifths in (2, 5, 8)]
    for number, hour in enumerate(late, 1):
        dice = numpy.random.default_rng([seed, hours, number, 1])
        at = shape["start"] + numpy.array([hours, hour]) * HOUR
        rows_of_it = table(events(shape, dice, LATE_ROWS, *at))
        write(rows_of_it, place(folder / "delta_c", START, hours, f"late-{number}.parquet"))
    told = lambda hour: (START + datetime.timedelta(hours=hour)).isoformat()
    meta = {"rows": rows, "days": days, "seed": seed, "start": told(0), "hours": hours, "end": told(hours),
            "b_hour": told(hours), "late_hours": [told(hour) for hour in late], "d_day": told(days // 2 * 24)}
    (folder / "meta.json").write_text(json.dumps(meta, indent=1))


def generate_small_windows(folder, windows, rows, files):
    """`windows` minutes of `rows` rows each in `files` files, and one row of the month after, which closes them."""
    per_file = math.ceil(windows / files)
    shape = {"seed": 1, "start": micros(START), "users": 10_000}
    for number in range(files):
        minutes = numpy.arange(number * per_file, min((number + 1) * per_file, windows))
        dice = numpy.random.default_rng([1, number])
        found = events(shape, dice, len(minutes) * rows, shape["start"])
        found["event_time"] = shape["start"] + numpy.repeat(minutes, rows) * MINUTE
        found["event_time"] += dice.integers(0, MINUTE, len(found["event_time"]))
        write(table(found), pathlib.Path(folder) / "raw" / f"part-{number:04d}.parquet")
    write_closing(folder)


def write_closing(folder):
    """A file of one row, a month after the start."""
    shape = {"start": micros(START), "users": 10_000}
    at = micros(START + datetime.timedelta(days=31))
    rows = table(events(shape, numpy.random.default_rng(0), 1, at, at))
    write(rows, pathlib.Path(folder) / "raw" / "part-close.parquet")
