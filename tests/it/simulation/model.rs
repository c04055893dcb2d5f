//! What outputs must be, by a direct reading of the design: rows by hour, added up. Nothing of
//! highwater is used.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::bucket::{Bucket, ROOT};
use super::log::rows;
use crate::support::{DAY_0, Dice, HOUR, Row};

/// Hours in which events lie; one more closes them.
pub(crate) const HOURS: u64 = 4;

/// What was fed, by the name of the file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Feed(BTreeMap<String, Vec<Row>>);

impl Feed {
    /// A file of a few rows, new or in place of another: its key and its bytes.
    pub(crate) fn change(&mut self, dice: &mut Dice) -> (String, Bytes) {
        let name = format!("{}.parquet", dice.pick(&["a", "b", "c", "x/d", "x/e"]));
        let count = dice.roll(5);
        let rows = (0..count).map(|_| {
            let hour = DAY_0 + i64::try_from(dice.roll(HOURS)).unwrap() * HOUR;
            let at = hour + dice.pick(&[0, 1, HOUR / 2, HOUR - 1]);
            (at, *dice.pick(&["a", "b", "c"]), i64::try_from(dice.roll(100)).unwrap())
        });
        let rows = rows.collect();
        self.put(name, rows)
    }

    /// The file whose event closes all windows.
    pub(crate) fn close(&mut self) -> (String, Bytes) {
        let last = DAY_0 + i64::try_from(HOURS).unwrap() * HOUR;
        self.put("last.parquet".to_owned(), vec![(last, "a", 1)])
    }

    fn put(&mut self, name: String, rows: Vec<Row>) -> (String, Bytes) {
        let bytes = crate::support::parquet_of(&rows);
        let key = format!("{ROOT}in/{name}");
        self.0.insert(name, rows);
        (key, bytes)
    }

    /// The outputs of windows with rows, by key, as text.
    fn outputs(&self) -> BTreeMap<String, Vec<String>> {
        let mut all: Vec<&Row> = self.0.values().flatten().collect();
        all.sort();
        let mut hours = BTreeMap::<i64, Vec<&Row>>::new();
        for row in all {
            hours.entry((row.0 - DAY_0) / HOUR).or_default().push(row);
        }
        hours.remove(&i64::try_from(HOURS).unwrap());
        let mut outputs = BTreeMap::new();
        for (hour, rows) in hours {
            let key =
                |output| format!("{ROOT}out/{output}/dt=2026-01-01/hour={hour:02}/data.parquet");
            let mut totals = BTreeMap::<&str, (u64, i64)>::new();
            for (_, key, value) in &rows {
                let total = totals.entry(key).or_default();
                *total = (total.0 + 1, total.1 + value);
            }
            let total =
                |(key, (n, sum)): (&str, (u64, i64))| format!("key={key} n={n} total={sum}");
            outputs.insert(key("totals"), totals.into_iter().map(total).collect());
            let large = rows.iter().filter(|row| row.2 >= 50);
            let large = large.map(|(at, key, value)| format!("at={at} key={key} value={value}"));
            outputs.insert(key("large"), large.collect());
        }
        outputs
    }

    /// How the outputs in `bucket` differ from these. A window that lost all its rows may have an
    /// empty object.
    pub(crate) fn differences(&self, bucket: &Bucket) -> Vec<String> {
        let mut differences = Vec::new();
        let mut expected = self.outputs();
        for (key, object) in bucket.below(&format!("{ROOT}out/")) {
            if !key.ends_with(".parquet") {
                continue;
            }
            let found = rows(&object.bytes);
            let wanted = expected.remove(&key).unwrap_or_default();
            if found != wanted {
                differences.push(format!("{key}\n  holds    {found:?}\n  expected {wanted:?}"));
            }
        }
        differences.extend(expected.keys().map(|key| format!("{key} is not there")));
        differences
    }
}
