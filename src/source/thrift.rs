//! The few numbers of Parquet's own headers that must be known before the Parquet library believes
//! them: Thrift's compact encoding, without the rest of Thrift.

/// Structs, lists and maps inside each other; Parquet has fewer than ten.
const DEPTH_MAX: u32 = 32;

/// A place in Thrift's compact encoding. Whatever cannot be read is `None`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Thrift<'a> {
    rest: &'a [u8],
}

/// The type of a value as its field's header says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind(u8);

impl Kind {
    /// Inside a field's header a truth is its own value.
    const BYTE: u8 = 3;
    const I16: u8 = 4;
    const I32: u8 = 5;
    const I64: u8 = 6;
    const DOUBLE: u8 = 7;
    const BINARY: u8 = 8;
    const LIST: u8 = 9;
    const SET: u8 = 10;
    const MAP: u8 = 11;
    const STRUCT: u8 = 12;

    pub(super) fn is_list(self) -> bool {
        self.0 == Self::LIST
    }

    pub(super) fn is_struct(self) -> bool {
        self.0 == Self::STRUCT
    }
}

impl<'a> Thrift<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The bytes behind what was read.
    pub(super) fn rest(self) -> &'a [u8] {
        self.rest
    }

    /// Reads the fields of a struct: `read` is given each field's number and type, and says whether
    /// it has read the value; else it is skipped.
    pub(super) fn fields(
        &mut self,
        mut read: impl FnMut(&mut Self, i64, Kind) -> Option<bool>,
    ) -> Option<()> {
        let mut number: i64 = 0;
        loop {
            let header = self.byte()?;
            if header == 0 {
                return Some(());
            }
            number = match header >> 4 {
                0 => self.number()?,
                step => number.checked_add(i64::from(step))?,
            };
            let kind = Kind(header & 15);
            if !read(self, number, kind)? {
                self.skip(kind, false, 0)?;
            }
        }
    }

    /// Reads a whole number of any width but that of a byte.
    pub(super) fn number(&mut self) -> Option<i64> {
        let bits = self.varint()?;
        let half = i64::try_from(bits >> 1).ok()?;
        Some(if bits & 1 == 0 { half } else { !half })
    }

    /// Reads the head of a list: the type of its items, and how many.
    pub(super) fn list(&mut self) -> Option<(Kind, u64)> {
        let header = self.byte()?;
        let len = match header >> 4 {
            15 => self.varint()?,
            len => u64::from(len),
        };
        // An item has a byte at least: a longer list is a lie.
        let is_there = u64::try_from(self.rest.len()).is_ok_and(|rest| len <= rest);
        is_there.then_some((Kind(header & 15), len))
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    /// Reads a number without a sign.
    pub(super) fn varint(&mut self) -> Option<u64> {
        let mut value: u64 = 0;
        for place in 0..10_u32 {
            let byte = self.byte()?;
            let part = u64::from(byte & 127);
            value |= part.checked_shl(place.checked_mul(7)?)?;
            if byte < 128 {
                return Some(value);
            }
        }
        None
    }

    /// Passes over `len` bytes, and gives them.
    pub(super) fn pass(&mut self, len: u64) -> Option<&'a [u8]> {
        let (passed, rest) = self.rest.split_at_checked(usize::try_from(len).ok()?)?;
        self.rest = rest;
        Some(passed)
    }

    fn skip(&mut self, kind: Kind, in_list: bool, depth: u32) -> Option<()> {
        let deeper = depth.checked_add(1).filter(|depth| *depth <= DEPTH_MAX)?;
        match kind.0 {
            1 | 2 if !in_list => Some(()),
            1 | 2 | Kind::BYTE => self.pass(1).map(drop),
            Kind::I16 | Kind::I32 | Kind::I64 => self.varint().map(drop),
            Kind::DOUBLE => self.pass(8).map(drop),
            Kind::BINARY => {
                let len = self.varint()?;
                self.pass(len).map(drop)
            }
            Kind::LIST | Kind::SET => {
                let (kind, len) = self.list()?;
                (0..len).try_for_each(|_| self.skip(kind, true, deeper))
            }
            Kind::MAP => {
                let len = self.varint()?;
                let kinds = if len == 0 { 0 } else { self.byte()? };
                (0..len).try_for_each(|_| {
                    self.skip(Kind(kinds >> 4), true, deeper)?;
                    self.skip(Kind(kinds & 15), true, deeper)
                })
            }
            Kind::STRUCT => self.skip_struct(deeper),
            _ => None,
        }
    }

    fn skip_struct(&mut self, depth: u32) -> Option<()> {
        loop {
            let header = self.byte()?;
            if header == 0 {
                return Some(());
            }
            if header >> 4 == 0 {
                self.varint()?;
            }
            self.skip(Kind(header & 15), false, depth)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_behind_those_that_are_skipped() {
        // 1: list of two structs, each with a truth; 3: binary; 5: -3; 300: 64.
        let bytes = [
            0x19, 0x2c, 0x11, 0, 0x12, 0, 0x28, 2, b'a', b'b', 0x25, 5, 0x05, 0xd8, 4, 0x80, 1, 0,
            9,
        ];
        let mut found = Vec::new();
        let mut thrift = Thrift::new(&bytes);
        let read = thrift.fields(|value, number, kind| {
            let is_number = kind == Kind(Kind::I32);
            if is_number {
                found.push((number, value.number()?));
            }
            Some(is_number)
        });
        assert_eq!(read, Some(()));
        assert_eq!(found, [(5, -3), (300, 64)]);
        assert_eq!(thrift.rest(), [9]);
    }

    #[test]
    fn lies_about_lengths_are_no_thrift() {
        let skipped = |bytes: &[u8]| Thrift::new(bytes).fields(|_, _, _| Some(false));
        assert_eq!(skipped(&[0x19, 0xf3, 0xff, 0xff, 0xff, 0xff, 0x0f, 0]), None);
        assert_eq!(skipped(&[0x18, 0xff, 0xff, 0xff, 0xff, 0x0f, 0]), None);
        assert_eq!(skipped(&[0x1c; 5_000]), None);
        assert_eq!(skipped(&[0x16, 0x80]), None);
        assert_eq!(skipped(&[0x15, 0x02, 0]), Some(()));
    }
}
