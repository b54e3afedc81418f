//! The data section of a MaxMind-format file (version 2.0 of the format): typed fields, one after the other.
//!
//! Invariant: whatever the bytes are, reading ends and fails by value. Every field read is paid for from an
//! allowance, a pointer leads to a field that is none, and what is passed over is never entered: no loop of
//! pointers, no depth of maps and no size that lies can hold a reader up or exhaust its stack.
//!
//! Known limits: of the types, only text, unsigned numbers and maps are read; the others are passed over.

/// What is wrong with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Damage(pub(super) &'static str);

const CUT_SHORT: Damage = Damage("its data ends within a field");

/// A field, and for a pointer where it leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field<'a> {
    Text(&'a [u8]),
    Unsigned(u64),
    /// This many pairs of a key and a value follow.
    Map(usize),
    /// This many values follow.
    Array(usize),
    Pointer(usize),
    Other,
}

/// A data section being read, with what is left of the allowance.
pub(super) struct Fields<'a> {
    bytes: &'a [u8],
    left: usize,
}

impl<'a> Fields<'a> {
    /// To read no more than `allowance` fields.
    pub(super) fn new(bytes: &'a [u8], allowance: usize) -> Self {
        Self { bytes, left: allowance }
    }

    /// What is left of the allowance.
    pub(super) fn left(&self) -> usize {
        self.left
    }

    /// What is found in the map at `at` by a path of keys.
    pub(super) fn find(&mut self, at: usize, path: &[&str]) -> Result<Option<Field<'a>>, Damage> {
        let mut at = at;
        for key in path {
            let (Field::Map(pairs), first) = self.follow(at)? else { return Ok(None) };
            let Some(value) = self.value(key, pairs, first)? else { return Ok(None) };
            at = value;
        }
        self.follow(at).map(|(field, _)| Some(field))
    }

    /// Where the value of a key is, among `pairs` from `at` on.
    fn value(&mut self, key: &str, pairs: usize, mut at: usize) -> Result<Option<usize>, Damage> {
        for _ in 0..pairs {
            let (_, value) = self.field(at)?;
            let (Field::Text(name), _) = self.follow(at)? else {
                return Err(Damage("a key in its data is not text"));
            };
            if name == key.as_bytes() {
                return Ok(Some(value));
            }
            at = self.after(value)?;
        }
        Ok(None)
    }

    /// The field at `at`, or the one that it points to, and what comes after that.
    fn follow(&mut self, at: usize) -> Result<(Field<'a>, usize), Damage> {
        match self.field(at)? {
            (Field::Pointer(target), _) => match self.field(target)? {
                (Field::Pointer(_), _) => Err(Damage("a pointer in its data leads to another")),
                found => Ok(found),
            },
            found => Ok(found),
        }
    }

    /// What comes after the field at `at` and all that is in it.
    fn after(&mut self, mut at: usize) -> Result<usize, Damage> {
        let mut pending = 1_usize;
        while pending > 0 {
            let (field, next) = self.field(at)?;
            let inside = match field {
                Field::Map(pairs) => pairs.saturating_mul(2),
                Field::Array(values) => values,
                _ => 0,
            };
            pending = (pending - 1).saturating_add(inside);
            at = next;
        }
        Ok(at)
    }

    /// One field and what comes after it: for a map or an array, what is in it.
    fn field(&mut self, at: usize) -> Result<(Field<'a>, usize), Damage> {
        self.left = self.left.checked_sub(1).ok_or(Damage("its data has records beyond any measure"))?;
        let (control, at) = self.number(at, 1)?;
        let (kind, low) = (control >> 5, (control & 0x1f) as usize);
        match kind {
            0 => {
                let (extended, at) = self.number(at, 1)?;
                self.sized(extended + 7, low, at)
            }
            1 => self.pointer(low, at),
            _ => self.sized(kind, low, at),
        }
    }

    fn sized(&self, kind: u64, low: usize, at: usize) -> Result<(Field<'a>, usize), Damage> {
        let (size, at) = self.size(low, at)?;
        match kind {
            2 => self.slice(at, size).map(|(text, next)| (Field::Text(text), next)),
            5 | 6 | 9 => self.number(at, size).map(|(value, next)| (Field::Unsigned(value), next)),
            7 => Ok((Field::Map(size), at)),
            11 => Ok((Field::Array(size), at)),
            3 | 4 | 8 | 10 | 15 => self.slice(at, size).map(|(_, next)| (Field::Other, next)),
            // A boolean: its size is its value.
            14 => Ok((Field::Other, at)),
            _ => Err(Damage("a field in its data is of no known type")),
        }
    }

    fn size(&self, low: usize, at: usize) -> Result<(usize, usize), Damage> {
        let (base, octets) = match low {
            29 => (29, 1),
            30 => (285, 2),
            31 => (65_821, 3),
            _ => return Ok((low, at)),
        };
        self.number(at, octets).map(|(more, at)| (base + more as usize, at))
    }

    fn pointer(&self, low: usize, at: usize) -> Result<(Field<'a>, usize), Damage> {
        let high = low & 7;
        let (base, high, octets) = match low >> 3 {
            0 => (0, high, 1),
            1 => (2048, high, 2),
            2 => (526_336, high, 3),
            _ => (0, 0, 4),
        };
        let (value, next) = self.number(at, octets)?;
        Ok((Field::Pointer(base + (high << (8 * octets)) + value as usize), next))
    }

    /// A number of up to eight octets.
    fn number(&self, at: usize, octets: usize) -> Result<(u64, usize), Damage> {
        if octets > 8 {
            return Err(Damage("a number in its data is too long"));
        }
        let (slice, next) = self.slice(at, octets)?;
        Ok((slice.iter().fold(0, |value, &octet| value << 8 | u64::from(octet)), next))
    }

    fn slice(&self, at: usize, octets: usize) -> Result<(&'a [u8], usize), Damage> {
        let end = at.checked_add(octets).ok_or(CUT_SHORT)?;
        self.bytes.get(at..end).map(|slice| (slice, end)).ok_or(CUT_SHORT)
    }
}
