//! How the values of an aspect are written down: an enum whose first value is the default, with words for each.

macro_rules! trait_values {
    ($(#[$doc:meta])* $name:ident {
        $(#[$fdoc:meta])* $first:ident => $fwords:literal,
        $($(#[$vdoc:meta])* $value:ident => $words:literal,)*
    }) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash,
            serde::Serialize, serde::Deserialize,
        )]
        #[serde(rename_all = "kebab-case")]
        pub enum $name { #[default] $(#[$fdoc])* $first, $($(#[$vdoc])* $value,)* }

        impl $name {
            /// Every value, in the order of the table.
            pub const ALL: &'static [Self] = &[Self::$first, $(Self::$value,)*];

            /// The value in words.
            pub const fn words(self) -> &'static str {
                match self { Self::$first => $fwords, $(Self::$value => $words,)* }
            }
        }
    };
}

pub(crate) use trait_values;
