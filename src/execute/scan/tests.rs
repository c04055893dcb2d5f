//! Rows go where they belong, whatever they are read in and wherever they wait.

#![expect(clippy::arithmetic_side_effects, reason = "small numbers")]

use std::sync::Arc;

use arrow::array::{Array, Int64Array, RecordBatch, StringArray};
use proptest::prelude::*;

use super::gather::in_order;
use super::held::Held;
use super::piece::Piece;
use super::schedule::CellId;
use crate::execute::session::Engine;
use crate::spec::EngineSpec;
use crate::time::EventTime;

fn at(micros: i64) -> EventTime {
    EventTime::from_micros(micros)
}

fn engine(memory_limit_bytes: u64, folder: &tempfile::TempDir) -> Engine {
    let spec = EngineSpec {
        memory_limit_bytes: Some(memory_limit_bytes),
        threads: Some(1),
        jobs: Some(1),
        temp_directory: folder.path().to_owned(),
        max_object_bytes: 1 << 30,
    };
    Engine::new(&spec, uuid::Uuid::from_u128(1)).unwrap()
}

fn piece(key: &str, first_row: u64, rows: &[u64]) -> Piece {
    let numbers = Int64Array::from_iter_values(rows.iter().map(|row| i64::try_from(*row).unwrap()));
    let word =
        |row: &u64| (!row.is_multiple_of(3)).then(|| format!("{key} {row} {}", "x".repeat(40)));
    let words: StringArray = rows.iter().map(word).collect();
    let columns = [
        ("n", Arc::new(numbers) as Arc<dyn Array>, false),
        ("word", Arc::new(words) as Arc<dyn Array>, true),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let times = rows.iter().map(|row| at(i64::try_from(*row).unwrap() * 7)).collect();
    Piece { key: key.into(), first_row, batch, times, rows: rows.to_vec() }
}

/// A piece as values that can be compared.
fn told(piece: &Piece) -> (String, u64, RecordBatch, Vec<EventTime>, Vec<u64>) {
    let Piece { key, first_row, batch, times, rows } = piece;
    (key.to_string(), *first_row, batch.clone(), times.clone(), rows.clone())
}

proptest! {
    /// However rows were cut into cells and in whatever order the pieces come.
    #[test]
    fn rows_are_put_in_the_order_of_file_and_row(
        cell_of in prop::collection::vec(0_usize..3, 1..40),
        cuts in prop::collection::vec(1_usize..9, 1..6),
        seed in any::<u64>(),
    ) {
        let mut pieces = Vec::new();
        let mut expected = Vec::new();
        for key in ["b", "a"] {
            let (mut first, mut rest) = (0_usize, cell_of.as_slice());
            for len in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (now, later) = rest.split_at((*len).min(rest.len()));
                for cell in 0..3 {
                    let own = now.iter().enumerate().filter(|(_, of)| **of == cell);
                    let rows: Vec<u64> = own.map(|(row, _)| (first + row) as u64).collect();
                    if !rows.is_empty() {
                        pieces.push(piece(key, first as u64, &rows));
                    }
                }
                (first, rest) = (first + now.len(), later);
            }
            expected.extend((0..cell_of.len() as u64).map(|row| (key.to_owned(), row)));
        }
        expected.sort();
        let turn = usize::try_from(seed % pieces.len() as u64).unwrap();
        pieces.rotate_left(turn);
        let ordered = in_order(pieces).unwrap();
        let found: Vec<_> = ordered
            .iter()
            .flat_map(|piece| piece.rows.iter().map(|row| (piece.key.to_string(), *row)))
            .collect();
        prop_assert_eq!(found, expected);
        for ordered in &ordered {
            let whole = piece(&ordered.key, ordered.first_row, &ordered.rows);
            prop_assert_eq!(told(ordered), told(&whole));
        }
    }
}

/// Gives rows to three cells, for which two windows wait, and takes them back.
fn kept_and_taken(memory_limit_bytes: u64) -> (Vec<Vec<Piece>>, bool) {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(memory_limit_bytes, &folder);
    let cell = |n: i64| -> CellId { ("t".to_owned(), at(n)) };
    let windows = [vec![cell(0), cell(1)], vec![cell(1), cell(2)]];
    let held = Held::new(&engine, windows.iter().map(Vec::as_slice).enumerate());
    for file in 0..30_u64 {
        for n in 0..3_u64 {
            let rows: Vec<u64> = (n * 100..n * 100 + 20 + file).collect();
            held.add(&cell(i64::try_from(n).unwrap()), piece(&format!("f{file:02}"), n, &rows))
                .unwrap();
        }
    }
    // Nobody waits for these.
    held.add(&cell(9), piece("f", 0, &[1])).unwrap();
    let is_spilled = held.is_spilled();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut taken = Vec::new();
    for (place, cells) in windows.iter().enumerate() {
        let mut rows = runtime.block_on(held.rows(cells)).unwrap();
        taken.push(rows.take_in_order().unwrap().remove("t").unwrap());
        held.release(place, cells);
    }
    assert_eq!(held.bytes_in_memory(), 0, "what nobody waits for is forgotten");
    (taken, is_spilled)
}

#[test]
fn rows_that_were_spilled_come_back_as_they_were() {
    let (in_memory, is_spilled) = kept_and_taken(1 << 30);
    assert!(!is_spilled, "there was room for all");
    let (from_disk, is_spilled) = kept_and_taken(256 << 10);
    assert!(is_spilled, "there was no room for all");
    let tell = |taken: &[Vec<Piece>]| -> Vec<Vec<_>> {
        taken.iter().map(|pieces| pieces.iter().map(told).collect()).collect()
    };
    assert_eq!(tell(&in_memory), tell(&from_disk));
    assert_eq!(in_memory[0].len(), 60, "two pieces of each file, which were decoded apart");
}

#[test]
fn rows_for_which_there_is_no_room_refuse_their_window() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine(64 << 10, &folder);
    let cell: CellId = ("t".to_owned(), at(0));
    let held = Held::new(&engine, [(0, std::slice::from_ref(&cell))].into_iter());
    for file in 0..100_u64 {
        let rows: Vec<u64> = (0..100).collect();
        held.add(&cell, piece(&format!("f{file:02}"), 0, &rows)).unwrap();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let refused = runtime.block_on(held.rows(std::slice::from_ref(&cell))).unwrap_err();
    assert_eq!(refused.code(), crate::error::Code::WindowTooLarge);
}
