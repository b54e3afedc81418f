//! What a client's presentation can be, aspect by aspect.

use crate::trait_values::trait_values;

trait_values! {
    /// The class of the reverse name.
    ReverseName {
        /// No PTR record.
        Absent => "no reverse name",
        /// A PTR record that does not resolve back.
        Unconfirmed => "a reverse name that does not resolve back",
        /// A confirmed name made of the address, or with an access network's words in it.
        Generic => "a generic reverse name",
        /// A confirmed name of its own.
        Named => "a confirmed reverse name",
    }
}

trait_values! {
    /// The class of the HELO name.
    HeloName {
        /// No HELO yet, or an empty one.
        Absent => "no HELO name",
        /// `[192.0.2.1]`, or a bare address.
        Literal => "an address for a HELO name",
        /// One label.
        BareWord => "a HELO name without a domain",
        /// A domain name that has nothing to do with the reverse name.
        Unrelated => "a HELO name unlike the reverse name",
        /// The same organisational domain as the reverse name.
        SameDomain => "a HELO name of the reverse name's domain",
        /// Equal to the confirmed reverse name.
        Equal => "a HELO name equal to the reverse name",
    }
}

trait_values! {
    /// How the sender's domain fits the rest.
    SenderFit {
        /// MAIL has not been seen, or could not be read.
        Unknown => "no readable sender",
        /// The null sender.
        Null => "the null sender",
        /// The sender's organisational domain is verified.
        Verified => "a verified sender domain",
        /// Some domain is verified, but not the sender's.
        VerifiedOther => "a sender domain other than the verified one",
        /// Not verified; the domain of the reverse name.
        OfReverseName => "a sender of the reverse name's domain",
        /// Not verified; the domain of the HELO name only.
        OfHelo => "a sender of the HELO name's domain",
        /// A domain unlike all others.
        Unrelated => "a sender domain unlike host and HELO",
    }
}

trait_values! {
    /// Whether the session is encrypted.
    Tls {
        /// The front end cannot tell.
        Unknown => "TLS unknown",
        /// No.
        Plain => "no TLS",
        /// Yes.
        Encrypted => "TLS",
    }
}

trait_values! {
    /// What the reverse name begins with.
    FirstLabel {
        /// Without a reverse name.
        Absent => "no first label",
        /// A word that mail servers are called by.
        MailLike => "a host name like a mail server's",
        /// Anything else.
        Other => "a host name unlike a mail server's",
    }
}

trait_values! {
    /// What a name looks like, as far as the name alone shows.
    Shape {
        /// There is none, or it is no domain name.
        Absent => "no domain name",
        /// Made of the client's address, or with an access network's words in it.
        Generic => "a name made of the address or of an access network's words",
        /// Its first label is a word that mail servers are called by.
        MailLike => "a name like a mail server's",
        /// Not more than an organisational domain.
        Bare => "an organisational domain by itself",
        /// Its first label has many digits or is very long.
        Random => "a name as if chance had made it",
        /// Anything else.
        Other => "an unremarkable name",
    }
}

trait_values! {
    /// A signature's domain, which nobody need have verified.
    Signature {
        /// Before the end of the message.
        Unknown => "signature unknown",
        /// None.
        Absent => "no signature",
        /// Of the sender's organisational domain.
        OfSender => "a signature of the sender's domain",
        /// Of another domain.
        OfOther => "a signature of another domain than the sender's",
    }
}
