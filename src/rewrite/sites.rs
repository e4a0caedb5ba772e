//! The outward maps of all sites at once, for what belongs to no single one of them: mail.
//!
//! Several sites often stand on one backend host and differ in their path only (`/Plone`, `/Intranet`). Then an address belongs
//! to the site whose prefix it carries; only an address that carries none belongs to the first that knows its host. Each
//! address is mapped once, by one site: what one made public is never read as another's inside.

use super::grammar::Found;
use super::map::Map;
use super::origins::{Origins, is_loopback};
use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The outward maps of several sites.
#[derive(Debug)]
pub struct Sites(Vec<Arc<Map>>);

/// What came of rewriting a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rewritten<'a> {
    /// The text; borrowed if nothing was replaced.
    pub text: Cow<'a, [u8]>,
    /// How many addresses were replaced.
    pub replaced: usize,
    /// How many internal names stay, because they are no address of ours: another port, part of a longer word.
    pub remaining: usize,
}

impl Sites {
    /// The sites in the order of `proxy.toml`.
    pub fn new<'o>(origins: impl IntoIterator<Item = &'o Origins>) -> Self {
        Self(origins.into_iter().map(|origins| Arc::clone(origins.outward())).collect())
    }

    /// Internal → public in a whole text.
    pub fn rewrite<'a>(&self, text: &'a [u8]) -> Rewritten<'a> {
        let mut candidates: Vec<(&Map, Found)> = Vec::new();
        for map in &self.0 {
            candidates.extend(map.finds(text).0.into_iter().map(|found| (map.as_ref(), found)));
        }
        // Stable: among equals the first site stays the first.
        candidates.sort_by_key(|(map, found)| Reverse(map.claim(found)));
        let mut taken: Vec<(&Map, Found)> = Vec::with_capacity(candidates.len());
        if self.0.len() == 1 {
            taken = candidates;
        } else {
            let mut spans = BTreeMap::new();
            for (map, found) in candidates {
                let before = spans.range(..found.end).next_back();
                if before.is_none_or(|(_, end)| *end <= found.start) {
                    spans.insert(found.start, found.end);
                    taken.push((map, found));
                }
            }
        }
        if taken.is_empty() {
            return Rewritten { text: Cow::Borrowed(text), replaced: 0, remaining: self.remaining(text) };
        }
        taken.sort_by_key(|(_, found)| found.start);
        let mut out = Vec::with_capacity(text.len().saturating_add(64));
        let mut literal = 0;
        for (map, found) in &taken {
            out.extend_from_slice(text.get(literal..found.start).unwrap_or_default());
            map.grammar().write(text, found, &mut out);
            literal = found.end;
        }
        out.extend_from_slice(text.get(literal..).unwrap_or_default());
        let remaining = self.remaining(&out);
        Rewritten { text: Cow::Owned(out), replaced: taken.len(), remaining }
    }

    /// The public host that stands for `host`, where a host is named by itself and nothing else can be meant: a name without a
    /// dot is a word in a text, but not behind the `@` of an identifier. `None` if it is no internal one, or everybody's.
    pub fn public_host(&self, host: &[u8]) -> Option<&[u8]> {
        if is_loopback(host) {
            return None;
        }
        self.0.iter().find_map(|map| {
            let grammar = map.grammar();
            let name = grammar.names.iter().find(|name| name.host.eq_ignore_ascii_case(host))?;
            let (_, target) = grammar.site(name.site);
            (!target.host.eq_ignore_ascii_case(host)).then_some(target.host.as_slice())
        })
    }

    fn remaining(&self, text: &[u8]) -> usize {
        // Sites that share a host see the same name at the same place.
        let places: BTreeSet<usize> = self.0.iter().flat_map(|map| map.finds(text).1).collect();
        places.len()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Mode;
    use super::*;
    use proptest::prelude::*;

    fn origins(backend: &str, public: &str) -> Origins {
        Origins::new(&backend.parse().unwrap(), &public.parse().unwrap(), &[], Mode::Safety).unwrap()
    }

    fn sites() -> Sites {
        Sites::new(&[
            origins("http://cms.internal:8080/Plone", "https://www.example.org"),
            origins("http://cms.internal:8080/Intranet", "https://intranet.example.org"),
            origins("http://other.internal/", "https://other.example.org/sub"),
        ])
    }

    fn text(sites: &Sites, input: &str) -> (String, usize) {
        let done = sites.rewrite(input.as_bytes());
        (String::from_utf8(done.text.into_owned()).unwrap(), done.replaced)
    }

    #[test]
    fn an_address_belongs_to_the_site_whose_prefix_it_carries() {
        for (row, input, want) in [
            ("first", "see http://cms.internal:8080/Plone/a.", "see https://www.example.org/a."),
            ("second", "see http://cms.internal:8080/Intranet/a.", "see https://intranet.example.org/a."),
            ("neither", "see http://cms.internal:8080/x", "see https://www.example.org/x"),
            ("another host", "http://other.internal/a", "https://other.example.org/sub/a"),
            (
                "all",
                "http://cms.internal:8080/Intranet/a http://other.internal/ http://cms.internal:8080/Plone",
                "https://intranet.example.org/a https://other.example.org/sub/ https://www.example.org",
            ),
            ("none", "http://cms.internal:8080evil/", "http://cms.internal:8080evil/"),
        ] {
            assert_eq!(text(&sites(), input).0, want, "{row}");
        }
    }

    #[test]
    fn what_is_replaced_and_what_stays_is_counted() {
        let done = text(&sites(), "http://cms.internal:8080/Plone http://other.internal/");
        assert_eq!(done.1, 2);
        assert!(sites().rewrite(b"cms.internal:8080evil").remaining > 0);
        assert_eq!(sites().rewrite(b"nothing here").remaining, 0);
    }

    #[test]
    fn a_host_by_itself_is_known_without_a_dot() {
        let (backend, public) = ("http://localhost:8080/Plone", "https://www.example.org");
        let names = ["VM".to_owned(), "www.example.org".to_owned()];
        let sites = Sites::new([&Origins::new(
            &backend.parse().unwrap(),
            &public.parse().unwrap(),
            &names,
            Mode::Safety,
        )
        .unwrap()]);
        for (host, want) in [
            ("vm", Some("www.example.org")),
            ("Vm", Some("www.example.org")),
            ("localhost", None),
            ("www.example.org", None),
            ("v", None),
        ] {
            assert_eq!(sites.public_host(host.as_bytes()), want.map(str::as_bytes), "{host}");
        }
    }

    proptest! {
        #[test]
        fn one_site_is_rewritten_as_by_its_own_map(
            pieces in prop::collection::vec(prop_oneof![
                "[ -~]{0,8}", Just("http://cms.internal:8080/Plone".to_owned()), Just("cms.internal:8080".to_owned()),
                Just("%2F%2Fcms.internal%3A8080".to_owned()),
            ], 0..8)
        ) {
            let (input, origins) = (pieces.concat(), origins("http://cms.internal:8080/Plone", "https://www.example.org"));
            let sites = Sites::new([&origins]);
            prop_assert_eq!(sites.rewrite(input.as_bytes()).text, origins.rewrite(input.as_bytes()));
        }
    }
}
