//! Records as the text of a segment and back: one JSON document a line, a record and the generation
//! that admitted it.

use super::{Admitted, FileRecord};
use crate::id::Generation;

/// The text of a segment that holds `records`.
///
/// # Errors
/// If they have no text.
pub fn encode(records: &[(Generation, &FileRecord)]) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    for record in records {
        serde_json::to_writer(&mut bytes, record).map_err(|why| why.to_string())?;
        bytes.push(b'\n');
    }
    Ok(bytes)
}

/// The records in the text of a segment. Whether it is the text that was written is for the hash in
/// the log to say.
///
/// # Errors
/// If a line is none.
pub fn decode(bytes: &[u8]) -> Result<Vec<Admitted>, String> {
    // All at once: line by line it would be proven anew for every name in it.
    let text = std::str::from_utf8(bytes).map_err(|why| why.to_string())?;
    let mut records = Vec::with_capacity(text.lines().count());
    for line in text.lines().filter(|line| !line.is_empty()) {
        let (generation, record) = serde_json::from_str(line).map_err(|why| why.to_string())?;
        records.push(Admitted::new(record, generation));
    }
    Ok(records)
}
