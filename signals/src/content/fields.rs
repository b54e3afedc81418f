//! A message's header fields, one after the other (RFC 5322 section 2.2).
//!
//! Every octet is looked at a fixed number of times. A line without a colon is a field without a value, as
//! mail servers pass it on.

use memchr::memchr;

/// A header field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Field<'m> {
    /// What stands before the colon, octet by octet.
    pub(crate) name: &'m [u8],
    /// What stands after it, with the line end.
    pub(crate) value: &'m [u8],
}

impl Field<'_> {
    /// Whether the field has this name; obsolete syntax allows space before the colon.
    pub(crate) fn is(&self, name: &str) -> bool {
        self.name.trim_ascii_end().eq_ignore_ascii_case(name.as_bytes())
    }
}

/// The fields of a message, up to the empty line.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'m>(&'m [u8]);

impl<'m> Fields<'m> {
    pub(crate) fn new(message: &'m [u8]) -> Self {
        Self(message)
    }

    /// What has not been read: after the last field, the body.
    pub(crate) fn rest(&self) -> &'m [u8] {
        self.0
    }
}

impl<'m> Iterator for Fields<'m> {
    type Item = Field<'m>;

    fn next(&mut self) -> Option<Field<'m>> {
        if let Some(body) = self.0.strip_prefix(b"\r\n").or_else(|| self.0.strip_prefix(b"\n")) {
            self.0 = body;
            // There is nothing but the body from here on, whatever it looks like.
            return None;
        }
        let (field, rest) = self.0.split_at_checked(field_end(self.0))?;
        if field.is_empty() {
            return None;
        }
        self.0 = rest;
        let colon = memchr(b':', field).unwrap_or(field.len());
        let (name, value) = field.split_at_checked(colon)?;
        Some(Field { name, value: value.get(1..).unwrap_or_default() })
    }
}

/// Where the field ends that `text` begins with: after the first line end that no space or tab follows.
fn field_end(text: &[u8]) -> usize {
    let mut from = 0;
    while let Some(offset) = text.get(from..).and_then(|rest| memchr(b'\n', rest)) {
        from += offset + 1;
        if !matches!(text.get(from), Some(b' ' | b'\t')) {
            return from;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_folded_and_end_at_the_empty_line() {
        let message = b"From: a\r\n b\r\nno colon\r\nX :y\n\r\nBody: no\r\n\r\n";
        let mut fields = Fields::new(message);
        let all: Vec<_> = fields.by_ref().collect();
        assert_eq!(all[0], Field { name: b"From", value: b" a\r\n b\r\n" });
        assert_eq!(all[1], Field { name: b"no colon\r\n", value: b"" });
        assert!(all[2].is("x") && all[2].value == b"y\n");
        assert_eq!((all.len(), fields.rest()), (3, &b"Body: no\r\n\r\n"[..]));
    }

    #[test]
    fn a_header_may_end_anywhere() {
        let all: Vec<_> = Fields::new(b"A: 1\r\nB: 2").collect();
        assert_eq!(all[1], Field { name: b"B", value: b" 2" });
        assert_eq!(Fields::new(b"").count() + Fields::new(b"\r\n").count(), 0);
    }
}
