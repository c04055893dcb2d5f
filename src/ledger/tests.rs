//! A ledger, however it came to be.

use proptest::prelude::*;

use super::*;
use crate::time::ProcessingTime;

fn record(key: &str, size: u64, cells: &[(i64, u64)]) -> FileRecord {
    let version = InputVersion { size, mark: "m".into(), sha256: None };
    FileRecord {
        rows: cells.iter().map(|(_, rows)| rows).sum(),
        cells: cells.iter().map(|(at, n)| (EventTime::from_micros(*at), *n)).collect(),
        ..FileRecord::empty(id("t", key), version, ProcessingTime::from_micros(0))
    }
}

#[test]
fn a_new_version_replaces_the_rows_of_the_old_one_in_every_window() {
    let mut ledger = Ledger::default();
    let hour = EventTime::from_micros;
    ledger.admit(record("a", 1, &[(0, 5), (10, 1)]), Generation(1));
    ledger.admit(record("b", 1, &[(10, 2)]), Generation(1));
    let rows = |ledger: &Ledger, at: i64| ledger.rows_between("t", hour(at), hour(at + 1));
    assert_eq!(rows(&ledger, 10), 3);

    ledger.admit(record("a", 2, &[(10, 7), (20, 1)]), Generation(2));
    assert_eq!((rows(&ledger, 0), rows(&ledger, 10)), (0, 9));
    assert_eq!(ledger.rows_between("t", hour(-5), hour(21)), 10);
    assert_eq!(ledger.rows_between("u", hour(-5), hour(21)), 0);
    assert_eq!(ledger.first_cell("t", hour(-5), hour(20)), Some(hour(10)));
    assert_eq!(ledger.first_cell("t", hour(11), hour(20)), None);
    let files = ledger.files_between("t", hour(0), hour(30));
    let files: Vec<_> = files.into_iter().map(|(key, (_, rows))| (key, rows)).collect();
    assert_eq!(files, [("a", 8), ("b", 2)]);
    assert_eq!(
        ledger
            .file(&FileId { table: "t".into(), key: "a".into() })
            .map(|a| a.record.rows_between(hour(0), hour(20))),
        Some(7)
    );
    assert_eq!(ledger.files().count(), 2);
}

#[test]
fn what_settles_a_version_came_with_it() {
    let mut ledger = Ledger::default();
    let id = FileId { table: "t".into(), key: "a".into() };
    let settled = || FileRecord { settles: true, ..record("a", 1, &[(0, 5)]) };
    let told = |ledger: &Ledger| {
        let known = ledger.file(&id)?;
        Some((known.generation.0, known.came_with().0))
    };
    ledger.admit(record("a", 1, &[(0, 5)]), Generation(1));
    ledger.admit(settled(), Generation(2));
    assert_eq!(told(&ledger), Some((2, 1)));
    ledger.admit(settled(), Generation(3));
    assert_eq!(told(&ledger), Some((3, 1)));
    // It is in the record, as segments that are merged keep the newest one only.
    let kept = ledger.file(&id).unwrap().record.clone();
    let mut merged = Ledger::default();
    merged.admit(kept, Generation(3));
    assert_eq!(told(&merged), Some((3, 1)));
    ledger.admit(record("a", 2, &[(0, 5)]), Generation(4));
    assert_eq!(told(&ledger), Some((4, 4)));
}

#[test]
fn a_record_survives_its_text() {
    let mut record = record("a", 1, &[(0, 5)]);
    record.event_range = Some((EventTime::from_micros(0), EventTime::from_micros(9)));
    let text = serde_json::to_string(&record).unwrap();
    assert_eq!(serde_json::from_str::<FileRecord>(&text).unwrap(), record);
    assert!(!text.contains("null_time") && !text.contains("settles"), "{text}");
}

/// What a ledger of few files answers, from nothing but the newest records.
#[derive(Debug, Default)]
struct Model(BTreeMap<FileId, Admitted>);

impl Model {
    fn admit(&mut self, mut admitted: Admitted) {
        if let Some(known) = self.0.get(admitted.id()) {
            admitted.record.since =
                if admitted.record.settles { Some(known.came_with()) } else { None };
        }
        self.0.insert(admitted.id().clone(), admitted);
    }

    fn between(&self, table: &str, start: i64, end: i64) -> BTreeMap<&str, u64> {
        let of_table = self.0.values().filter(|known| known.id().table == table);
        let rows = of_table.map(|Admitted { record, .. }| {
            let cells = record.cells.iter();
            let inside = cells.filter(|(at, _)| (start..end).contains(&at.micros()));
            (record.id.key.as_str(), inside.map(|(_, rows)| rows).sum())
        });
        rows.filter(|(_, rows)| *rows > 0).collect()
    }

    fn check(&self, ledger: &Ledger) {
        assert!(ledger.files().eq(&self.0));
        for id in TABLES.iter().flat_map(|table| KEYS.map(|key| id(table, key))) {
            assert_eq!(ledger.file(&id), self.0.get(&id));
        }
        for table in TABLES {
            let of_table = self.0.iter().filter(|(id, _)| id.table == table);
            assert!(ledger.files_of(table).eq(of_table));
            for (start, end) in (-1..6).flat_map(|start| (-1..6).map(move |end| (start, end))) {
                let (from, to) = (EventTime::from_micros(start), EventTime::from_micros(end));
                let expected = self.between(table, start, end);
                let found = ledger.files_between(table, from, to);
                let found = found.into_iter().map(|(key, (record, rows))| {
                    assert_eq!(Some(record), self.0.get(&id(table, key)).map(|k| &k.record));
                    (key, rows)
                });
                assert!(found.eq(expected.iter().map(|(key, rows)| (*key, *rows))));
                assert_eq!(ledger.rows_between(table, from, to), expected.values().sum::<u64>());
                let first = (start..end)
                    .find(|at| !self.between(table, *at, at.saturating_add(1)).is_empty());
                assert_eq!(ledger.first_cell(table, from, to).map(EventTime::micros), first);
            }
        }
    }
}

const TABLES: [&str; 3] = ["", "t", "u"];
const KEYS: [&str; 5] = ["", "a", "a/b", "b", "é"];

fn id(table: &str, key: &str) -> FileId {
    FileId { table: table.to_owned(), key: key.to_owned() }
}

/// An admitted record: table, key, and whether it only settles what was known; rows by cell.
fn admitted() -> impl Strategy<Value = (usize, usize, bool, BTreeMap<i64, u64>)> {
    let cells = prop::collection::btree_map(0_i64..5, 1_u64..9, 0..4);
    (0..TABLES.len(), 0..KEYS.len(), prop::bool::weighted(0.3), cells)
}

proptest! {
    #[test]
    fn it_answers_the_same_whatever_of_it_was_loaded(
        admitted in prop::collection::vec(admitted(), 0..16),
        loaded in prop::collection::vec(0_usize..17, 3),
    ) {
        let admitted = admitted.into_iter().zip(1..).map(|((table, key, settles, cells), at)| {
            let cells: Vec<_> = cells.into_iter().collect();
            let record = FileRecord {
                id: id(TABLES[table], KEYS[key]),
                settles,
                ..record("", at, &cells)
            };
            Admitted::new(record, Generation(at))
        });
        let admitted: Vec<_> = admitted.collect();
        let mut model = Model::default();
        admitted.iter().cloned().for_each(|one| model.admit(one));
        for loaded in loaded.into_iter().chain([0, admitted.len()]) {
            let (before, after) = admitted.split_at(loaded.min(admitted.len()));
            let mut ledger = Ledger::load(before.chunks(3).map(<[Admitted]>::to_vec).collect());
            let untouched = ledger.clone();
            for Admitted { record, generation, .. } in after {
                ledger.admit(record.clone(), *generation);
            }
            model.check(&ledger);
            // A copy stays as it was when it was made.
            let mut then = Model::default();
            before.iter().cloned().for_each(|one| then.admit(one));
            then.check(&untouched);
        }
    }
}
