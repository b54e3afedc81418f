//! A message put together again from what a milter is given: header fields one by one, body chunk by chunk.
//!
//! What comes out is the message as it was on the wire, so that signatures can be verified, provided that the
//! mail server hands over values with their leading space. Invariant: no more is kept than the limit, and no
//! more over all connections than the [`Budget`]. A message that is too large, that the budget has no room
//! for, or that cannot be put together faithfully is not whole: its header and the beginning of its body
//! remain, for traits, and it is told whether something of these is missing.
//!
//! Known limits: mail servers show line ends of a folded value as LF alone, whatever they were; a message that
//! had a bare LF there comes out with CRLF, and its signature fails under either canonicalization anyway.

use super::budget::{Budget, Share};
use std::fmt;

/// The header's octets that are kept.
pub const MAX_HEADER: usize = 256 << 10;
/// The body's octets that traits are read from.
pub const HEAD: usize = 64 << 10;
/// The most that a whole message may be configured to take.
pub const MAX_MESSAGE: usize = 10 << 20;

/// Puts one message together.
#[derive(Debug)]
pub struct Collector {
    octets: Vec<u8>,
    share: Share,
    limit: usize,
    /// Where the body begins, once there is one.
    body: Option<usize>,
    whole: bool,
    gaps: bool,
}

/// A message as it was received, or the beginning of one.
pub struct Raw {
    octets: Vec<u8>,
    body: usize,
    whole: bool,
    gaps: bool,
    _share: Share,
}

impl PartialEq for Raw {
    /// The same octets, whatever memory they are drawn from.
    fn eq(&self, other: &Self) -> bool {
        (self.octets(), self.body, self.whole) == (other.octets(), other.body, other.whole)
    }
}

impl Eq for Raw {}

impl fmt::Debug for Raw {
    /// Its size alone: no log shall hold a message's text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Raw").field("octets", &self.octets.len()).field("whole", &self.whole).finish()
    }
}

impl Raw {
    /// The header, the empty line and the body, or its beginning.
    pub fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// Whether nothing is left out.
    pub fn whole(&self) -> bool {
        self.whole
    }

    /// Whether something is missing of the header or of the body's beginning, for want of room.
    pub fn has_gaps(&self) -> bool {
        self.gaps
    }

    /// The header, with the empty line.
    pub fn header(&self) -> &[u8] {
        self.octets.get(..self.body).unwrap_or_default()
    }

    /// The body, as far as it is kept.
    pub fn body(&self) -> &[u8] {
        self.octets.get(self.body..).unwrap_or_default()
    }
}

impl Collector {
    /// A new message of at most `limit` octets ([`MAX_MESSAGE`] at most), drawn from `budget`.
    pub fn new(budget: &Budget, limit: usize) -> Self {
        let limit = limit.min(MAX_MESSAGE);
        Self { octets: Vec::new(), share: budget.share(), limit, body: None, whole: true, gaps: false }
    }

    /// The next header field. `leading_space_kept` says whether the mail server has left the value's leading
    /// space where it was; without that, one space stands for whatever there was.
    pub fn header(&mut self, name: &[u8], value: &[u8], leading_space_kept: bool) {
        let breaks = memchr::memchr_iter(b'\n', value).count();
        // A colon and at most one space, two more octets for each line end, and the last line end.
        let most = name.len() + 2 + value.len() + 2 * breaks + 2;
        let named = !name.is_empty() && !name.iter().any(|b| matches!(b, b':' | b'\r' | b'\n'));
        if self.body.is_some() || !named {
            self.whole = false;
            return;
        }
        let fits = self.octets.len() + most <= MAX_HEADER.min(self.limit);
        if !fits || !self.reserve(most) {
            (self.whole, self.gaps) = (false, true);
            return;
        }
        self.octets.extend_from_slice(name);
        self.octets.push(b':');
        if !leading_space_kept {
            self.octets.push(b' ');
        }
        self.value(value);
        self.octets.extend_from_slice(b"\r\n");
    }

    /// A value with its line ends as they were on the wire.
    fn value(&mut self, value: &[u8]) {
        for (number, line) in value.split(|&b| b == b'\n').enumerate() {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if number > 0 {
                // An empty line would end the header, and a line that is not indented would begin a field.
                let folded = matches!(line.first(), Some(b' ' | b'\t'));
                self.whole &= folded;
                match line {
                    [] => continue,
                    _ if folded => self.octets.extend_from_slice(b"\r\n"),
                    _ => self.octets.extend_from_slice(b"\r\n "),
                }
            }
            self.octets.extend_from_slice(line);
        }
    }

    /// The next piece of the body.
    pub fn body(&mut self, chunk: &[u8]) {
        let begin = self.begin_body();
        if self.whole {
            let fits = self.octets.len() + chunk.len() <= self.limit;
            if fits && self.reserve(chunk.len()) {
                self.octets.extend_from_slice(chunk);
                return;
            }
            self.cut(begin);
        }
        let room = (begin + HEAD).saturating_sub(self.octets.len());
        let head = chunk.get(..room).unwrap_or(chunk);
        if self.reserve(head.len()) {
            self.octets.extend_from_slice(head);
        } else {
            self.gaps = true;
        }
    }

    /// The message, at its end.
    pub fn finish(mut self) -> Raw {
        let body = self.begin_body();
        if !self.whole {
            self.cut(body);
        }
        Raw { octets: self.octets, body, whole: self.whole, gaps: self.gaps, _share: self.share }
    }

    /// Ends the header, unless that has been done, and tells where the body begins.
    fn begin_body(&mut self) -> usize {
        if let Some(begin) = self.body {
            return begin;
        }
        if self.reserve(2) {
            self.octets.extend_from_slice(b"\r\n");
        } else {
            self.whole = false;
        }
        *self.body.insert(self.octets.len())
    }

    /// Gives up on the whole, and gives back what traits do not need.
    fn cut(&mut self, begin: usize) {
        self.whole = false;
        self.octets.truncate(begin + HEAD);
        self.octets.shrink_to_fit();
        self.share.shrink_to(self.octets.capacity());
    }

    /// Makes room for `more` octets, within the budget: twice as much as before, or just enough.
    fn reserve(&mut self, more: usize) -> bool {
        let least = self.octets.len() + more;
        if least <= self.share.octets() {
            return true;
        }
        let ample = (2 * self.share.octets()).min(self.limit).max(least);
        let granted = self.share.grow_to(ample) || self.share.grow_to(least);
        if granted {
            self.octets.reserve_exact(self.share.octets() - self.octets.len());
        }
        granted
    }
}

#[cfg(test)]
mod tests;
