//! Records as the text of a segment and back: one JSON document a line, a record and the generation
//! that admitted it.

use super::FileRecord;
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
pub fn decode(bytes: &[u8]) -> Result<Vec<(Generation, FileRecord)>, String> {
    // All at once: line by line it would be proven anew for every name in it.
    let text = std::str::from_utf8(bytes).map_err(|why| why.to_string())?;
    let lines = text.split('\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_str(line).map_err(|why| why.to_string())).collect()
}
