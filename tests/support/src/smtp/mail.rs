//! A message with its envelope, and how it goes over the wire.

/// One message to send.
#[derive(Clone, Debug)]
pub struct Mail {
    pub(super) from: String,
    pub(super) parameters: String,
    pub(super) recipients: Vec<String>,
    headers: Vec<(String, String)>,
    body: String,
    raw: Option<Vec<u8>>,
}

impl Mail {
    /// A short message from `from` (empty for a bounce, without angle brackets) to nobody yet.
    pub fn from(from: &str) -> Self {
        Self {
            from: from.to_owned(),
            parameters: String::new(),
            recipients: Vec::new(),
            headers: Vec::new(),
            body: "A test.".to_owned(),
            raw: None,
        }
    }

    /// Adds a recipient.
    pub fn to(mut self, recipient: &str) -> Self {
        self.recipients.push(recipient.to_owned());
        self
    }

    /// Parameters of MAIL, such as `SIZE=1000`.
    pub fn parameters(mut self, parameters: &str) -> Self {
        parameters.clone_into(&mut self.parameters);
        self
    }

    /// Adds a header field.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Replaces the body.
    pub fn body(mut self, body: &str) -> Self {
        body.clone_into(&mut self.body);
        self
    }

    /// Replaces headers and body by a message as it is, such as a signed one.
    pub fn message(mut self, message: &[u8]) -> Self {
        self.raw = Some(message.to_vec());
        self
    }

    /// What follows DATA: lines end in CRLF, leading dots are doubled (RFC 5321 section 4.5.2), and the
    /// lone dot closes it.
    pub(super) fn data(&self) -> Vec<u8> {
        let message = self.raw.clone().unwrap_or_else(|| self.composed());
        let message = message.strip_suffix(b"\n").unwrap_or(&message);
        let mut wire = Vec::with_capacity(message.len() + 5);
        for line in message.split(|&byte| byte == b'\n') {
            if line.starts_with(b".") {
                wire.push(b'.');
            }
            wire.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(b".\r\n");
        wire
    }

    fn composed(&self) -> Vec<u8> {
        let headers = self.headers.iter().map(|(name, value)| format!("{name}: {value}\n"));
        format!("{}\n{}\n", headers.collect::<String>(), self.body).into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_in_crlf_and_leading_dots_are_doubled() {
        let mail = Mail::from("a@src.example").header("Subject", "dots").body("one\n.two\n..\r\nend");
        assert_eq!(mail.data(), b"Subject: dots\r\n\r\none\r\n..two\r\n...\r\nend\r\n.\r\n");
    }

    #[test]
    fn a_given_message_goes_as_it_is() {
        let mail = Mail::from("").message(b"A: b\r\n\r\nno end of line");
        assert_eq!(mail.data(), b"A: b\r\n\r\nno end of line\r\n.\r\n");
    }
}
