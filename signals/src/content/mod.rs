//! What a message looks like: traits of its header and of the first part of its body, for a milter at the end
//! of a message.
//!
//! A trait is weak by itself and never a verdict: the model weighs it by what this server has learned of it.
//! [`traits`] looks at a message as far as it was kept. Invariant: looking costs time in proportion to the octets, 320 KiB of
//! them at most, whatever they are; no input makes it fail.
//!
//! Known limits: what begins beyond the first 64 KiB of the body is not seen, nor what is inside an attached
//! message or an archive. Text in another character set than ASCII or UTF-8 is measured by its octets. A link
//! is an anchor in markup and a web address in plain text; addresses split by markup are missed.

pub(crate) mod fields;
mod header;
mod parts;
mod text;

pub(crate) use header::addresses;

use header::Header;
use mail_parser::decoders::{base64::base64_decode, quoted_printable::quoted_printable_decode};
use parts::{Encoding, Kind, Part};
use policy_core::findings::{Attachments, Content, Hops, Links, TextToMarkup};
use policy_core::message::{HEAD, Raw};
use policy_core::name::DomainName;
use std::borrow::Cow;
use text::Measure;

/// Octets to read beside each link below which a message is mostly links. A newsletter has a sentence to each.
const VISIBLE_PER_LINK: usize = 20;

/// What the envelope adds to the message.
#[derive(Clone, Copy, Debug, Default)]
pub struct Addressed<'a> {
    /// The envelope sender's domain; `None` for the null sender.
    pub sender: Option<&'a DomainName>,
    /// Recipients of this copy.
    pub recipients: u32,
}

/// The traits of a message, or of as much of it as was kept.
pub fn traits(raw: &Raw, addressed: Addressed<'_>) -> Content {
    let body = raw.body();
    let head = body.get(..HEAD).unwrap_or(body);
    let header = Header::read(raw.header());
    let texts = Texts::read(&parts::parts(raw.header(), head));
    Content {
        subject: header.subject,
        links: links(texts.links()),
        attachments: texts.attachments(),
        text_to_markup: texts.to_markup(),
        missing: header.missing(),
        unsubscribe: header.unsubscribe(addressed.recipients),
        from_fit: header.fit(addressed.sender),
        hops: hops(header.received),
    }
}

const fn links(count: usize) -> Links {
    match count {
        0 => Links::None,
        1 => Links::One,
        2..=5 => Links::Few,
        _ => Links::Many,
    }
}

const fn hops(count: usize) -> Hops {
    match count {
        0 => Hops::None,
        1 => Hops::One,
        2..=3 => Hops::Few,
        4..=8 => Hops::Several,
        _ => Hops::Many,
    }
}

/// What the parts add up to.
#[derive(Debug, Default)]
struct Texts {
    plain: Option<Measure>,
    markup: Option<Measure>,
    attached: usize,
    executable: bool,
}

impl Texts {
    fn read(parts: &[Part<'_>]) -> Self {
        let mut texts = Self::default();
        for part in parts {
            match part.kind {
                Kind::Plain => texts.plain.get_or_insert_default().add(text::plain(&decoded(part))),
                Kind::Markup => texts.markup.get_or_insert_default().add(text::markup(&decoded(part))),
                Kind::Attachment => texts.attached += 1,
                Kind::Executable => texts.executable = true,
                Kind::Other => {}
            }
        }
        texts
    }

    /// Plain text beside markup says the same once more: the one with more links counts.
    fn links(&self) -> usize {
        let links = |measure: Option<Measure>| measure.map_or(0, |measure| measure.links);
        links(self.plain).max(links(self.markup))
    }

    fn attachments(&self) -> Attachments {
        match self.attached {
            _ if self.executable => Attachments::Executable,
            0 => Attachments::None,
            1 => Attachments::One,
            _ => Attachments::Several,
        }
    }

    fn to_markup(&self) -> TextToMarkup {
        let shown = [self.plain, self.markup].map(|text| text.filter(|m| m.visible + m.links > 0));
        let bare = |measure: &Measure| measure.visible < VISIBLE_PER_LINK * measure.links;
        match shown {
            [None, None] => TextToMarkup::NoBody,
            // What a mail reader shows is the markup, where there is any.
            [_, Some(text)] | [Some(text), None] if bare(&text) => TextToMarkup::MostlyLinks,
            [Some(_), None] => TextToMarkup::TextOnly,
            [Some(_), Some(_)] => TextToMarkup::Balanced,
            [None, Some(_)] => TextToMarkup::MarkupOnly,
        }
    }
}

/// A part's text without its encoding; as it is, when it does not follow its encoding.
fn decoded<'m>(part: &Part<'m>) -> Cow<'m, [u8]> {
    let decoded = match part.encoding {
        Encoding::Verbatim => None,
        Encoding::QuotedPrintable => quoted_printable_decode(part.body),
        Encoding::Base64 => base64_decode(part.body),
    };
    decoded.map_or(Cow::Borrowed(part.body), Cow::Owned)
}

#[cfg(test)]
mod tests;
