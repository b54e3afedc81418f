//! The values that traits of a message's content take: few, so that each is learned soon.

macro_rules! trait_values {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $value:ident => $words:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$vdoc])* $value,)+ }

        impl $name {
            /// Every value, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$value,)+];

            /// The value in words.
            pub const fn words(self) -> &'static str {
                match self { $(Self::$value => $words,)+ }
            }
        }
    };
}

trait_values! {
    /// The subject.
    Subject {
        /// No Subject field.
        Absent => "no subject",
        /// Nothing in it that can be read.
        Empty => "an empty subject",
        /// Six letters or more, and every one that has a case is a capital.
        AllCapitals => "a subject in capitals",
        /// Anything else.
        Plain => "an unremarkable subject",
    }
}

trait_values! {
    /// Links in the texts of the message's first part.
    Links {
        /// None.
        None => "no link",
        /// One.
        One => "one link",
        /// Two to five.
        Few => "two to five links",
        /// Six or more.
        Many => "more than five links",
    }
}

trait_values! {
    /// Attachments that begin in the message's first part.
    Attachments {
        /// None.
        None => "no attachment",
        /// One.
        One => "one attachment",
        /// Two or more.
        Several => "several attachments",
        /// At least one that a mail reader's system may run when it is opened, by name or type.
        Executable => "an attachment that can be run",
    }
}

trait_values! {
    /// What the message's text is made of.
    TextToMarkup {
        /// No text to read.
        NoBody => "no text",
        /// Plain text alone.
        TextOnly => "plain text alone",
        /// Markup with plain text beside it.
        Balanced => "markup with plain text beside it",
        /// Markup alone.
        MarkupOnly => "markup alone",
        /// Hardly a word beside the links.
        MostlyLinks => "hardly a word beside the links",
    }
}

trait_values! {
    /// The two fields that RFC 5322 section 3.6 and every mail program's habit put into a message.
    Missing {
        /// Neither is missing.
        Nothing => "a date and a message id",
        /// No Date, which must be there.
        Date => "no date",
        /// No Message-ID, which should be there.
        MessageId => "no message id",
        /// Neither is there.
        Both => "neither date nor message id",
    }
}

trait_values! {
    /// Whether bulk mail can be unsubscribed from (RFC 2369, RFC 8058).
    Unsubscribe {
        /// Not bulk mail, as far as it says.
        NotBulk => "not bulk mail",
        /// Bulk mail with List-Unsubscribe.
        Offered => "bulk mail with an unsubscribe link",
        /// Bulk mail without.
        Missing => "bulk mail without an unsubscribe link",
    }
}

trait_values! {
    /// The From field against the envelope sender, by organisational domain.
    FromFit {
        /// No From, or no address in it.
        Absent => "no readable From",
        /// Addresses of several domains.
        Several => "a From of several domains",
        /// The envelope sender is null, or has no domain.
        NoSender => "a From without an envelope sender's domain",
        /// The same domain.
        Same => "a From of the envelope sender's domain",
        /// Another domain.
        Other => "a From of another domain than the envelope sender's",
    }
}

trait_values! {
    /// Received fields above the message's own.
    Hops {
        /// None: handed over by its writer.
        None => "no hop before",
        /// One.
        One => "one hop before",
        /// Two or three.
        Few => "two or three hops before",
        /// Four to eight.
        Several => "four to eight hops before",
        /// Nine or more.
        Many => "more than eight hops before",
    }
}

impl Links {
    pub(super) const fn of(count: usize) -> Self {
        match count {
            0 => Self::None,
            1 => Self::One,
            2..=5 => Self::Few,
            _ => Self::Many,
        }
    }
}

impl Hops {
    pub(super) const fn of(count: usize) -> Self {
        match count {
            0 => Self::None,
            1 => Self::One,
            2..=3 => Self::Few,
            4..=8 => Self::Several,
            _ => Self::Many,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_fall_into_their_places() {
        assert_eq!([0, 1, 2, 5, 6].map(Links::of), [0, 1, 2, 2, 3].map(|n| Links::ALL[n]));
        assert_eq!([0, 1, 3, 8, 9].map(Hops::of), [0, 1, 2, 3, 4].map(|n| Hops::ALL[n]));
    }
}
