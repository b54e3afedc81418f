//! What the findings of lookups say before this server has learned of them.
//!
//! The recordings that the other weights are fitted on know of no DNS list, no SPF and no text, so these are
//! set by hand, small enough that none decides anything alone, and each server's own labels soon outweigh them.
//! What is only a matter of style (the text) says nothing until this server's mail has shown that it does.

use crate::findings::{Dkim, Dmarc, HeloAddress, Listing, Operator, Spf};
use crate::presentation::{SHOWN_VALUES, Trait};

/// The weight of each of them: findings tell much the same of the same client, so none counts in full.
pub(super) const WEIGHT: f32 = 0.7;

/// Log-odds of the values that were looked up, in the order of the trait table.
pub(super) fn odds() -> Vec<f32> {
    let mut odds: Vec<f32> = Vec::new();
    odds.extend(Listing::ALL.iter().map(|&listing| of_listing(listing)));
    odds.extend(HeloAddress::ALL.iter().map(|&helo| of_helo(helo)));
    odds.extend(Spf::ALL.iter().map(|&spf| of_spf(spf)));
    odds.extend(Dkim::ALL.iter().map(|&dkim| of_dkim(dkim)));
    odds.extend(Dmarc::ALL.iter().map(|&dmarc| of_dmarc(dmarc)));
    odds.extend([0.0; Operator::COUNTRIES]);
    odds.resize(Trait::COUNT - SHOWN_VALUES, 0.0);
    odds
}

/// Public lists of bots and of spammers' hosts are wrong about one entry in hundreds at the most, by the lists'
/// own figures; 20 to 1 leaves room for a list that is worse.
const fn of_listing(listing: Listing) -> f32 {
    match listing {
        Listing::Unknown => 0.0,
        Listing::NotListed => -0.3,
        Listing::Policy => 1.0,
        Listing::Light => 1.0,
        Listing::Listed => 3.0,
        Listing::Heavy => 4.5,
        Listing::Allowed => -2.5,
    }
}

const fn of_helo(helo: HeloAddress) -> f32 {
    match helo {
        HeloAddress::Unknown => 0.0,
        HeloAddress::Same => -0.5,
        HeloAddress::Other => 0.3,
        HeloAddress::Nowhere => 0.7,
        HeloAddress::WrongLiteral | HeloAddress::Ours => 2.5,
    }
}

/// A pass says who sends, not that it is good: new domains of spammers pass as well as any.
const fn of_spf(spf: Spf) -> f32 {
    match spf {
        Spf::Unknown | Spf::Neutral => 0.0,
        Spf::None => 0.3,
        Spf::Pass => -0.3,
        Spf::Fail => 1.0,
        Spf::SoftFail => 0.5,
        Spf::PermError => 0.3,
    }
}

/// Lists and forwarders break signatures of good mail every day.
const fn of_dkim(dkim: Dkim) -> f32 {
    match dkim {
        Dkim::Unknown | Dkim::Fail => 0.0,
        Dkim::None => 0.3,
        Dkim::Pass => -0.3,
    }
}

const fn of_dmarc(dmarc: Dmarc) -> f32 {
    match dmarc {
        Dmarc::Unknown => 0.0,
        Dmarc::None => 0.2,
        Dmarc::Pass => -0.4,
        Dmarc::Fail => 0.3,
        Dmarc::Quarantine => 1.2,
        Dmarc::Reject => 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presentation::Aspect;

    #[test]
    fn each_value_has_its_own_odds() {
        let odds = odds();
        assert_eq!(odds.len(), Trait::COUNT - SHOWN_VALUES);
        let of = |aspect, value: u8| odds[Trait { aspect, value }.index().unwrap() - SHOWN_VALUES];
        assert_eq!(of(Aspect::Listing, Listing::Heavy as u8), 4.5);
        assert_eq!(of(Aspect::Spf, Spf::Fail as u8), 1.0);
        assert_eq!(of(Aspect::Dmarc, Dmarc::Reject as u8), 2.0);
        assert_eq!(of(Aspect::Subject, 1), 0.0);
    }
}
