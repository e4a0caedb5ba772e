//! `backend_url`: where the site really is, once or several times.

use std::fmt;

use serde::{Deserialize, Deserializer, de};

use super::url::SiteUrl;
use super::values::{one_or_many, schema_as};

/// One address, or several of the same site: `"http://10.0.0.5:8080/Plone"` or a list of such. They differ in host and port alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backends {
    first: SiteUrl,
    others: Vec<SiteUrl>,
}

impl Backends {
    /// The first: what all of them are told to be called.
    pub const fn first(&self) -> &SiteUrl {
        &self.first
    }

    /// Those besides the first.
    pub fn others(&self) -> &[SiteUrl] {
        &self.others
    }

    /// All, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &SiteUrl> {
        std::iter::once(&self.first).chain(&self.others)
    }
}

impl TryFrom<Vec<SiteUrl>> for Backends {
    type Error = String;

    fn try_from(all: Vec<SiteUrl>) -> Result<Self, String> {
        let mut rest = all.into_iter();
        let Some(first) = rest.next() else {
            return Err(
                "the list is empty; name at least one address, such as \"http://10.0.0.5:8080/Plone\""
                    .to_owned(),
            );
        };
        let mut backends = Self { first, others: Vec::new() };
        for other in rest {
            let first = &backends.first;
            if other.scheme() != first.scheme() || other.path() != first.path() {
                return Err(format!(
                    "`{other}` is not the same site as `{first}`; several addresses differ in host and port alone, with one scheme and path"
                ));
            }
            if backends.iter().any(|known| known.is_at(other.host())) {
                return Err(format!("`{other}` is there twice; name each address once"));
            }
            backends.others.push(other);
        }
        Ok(backends)
    }
}

impl fmt::Display for Backends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first)?;
        self.others.iter().try_for_each(|other| write!(f, ", {other}"))
    }
}

schema_as!(Backends, one or many SiteUrl);

impl<'de> Deserialize<'de> for Backends {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "write an address such as \"http://127.0.0.1:8080/Plone\", or a list of such";
        let texts: Vec<String> = one_or_many(deserializer, expected)?;
        let all = texts.iter().map(|text| text.parse()).collect::<Result<Vec<SiteUrl>, _>>();
        all.and_then(Self::try_from).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct File {
        url: Backends,
    }

    fn read(value: &str) -> Result<String, String> {
        let file = toml::from_str::<File>(&format!("url = {value}"));
        file.map(|file| file.url.to_string()).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn one_address_or_several_of_one_site() {
        assert_eq!(read("\"http://a:8080/P/\"").as_deref(), Ok("http://a:8080/P"));
        assert_eq!(read("[\"http://a/P\", \"http://b/P\"]").as_deref(), Ok("http://a/P, http://b/P"));
        for (name, value, expected) in [
            ("none", "[]", "the list is empty"),
            ("other path", "[\"http://a/P\", \"http://b/Q\"]", "`http://b/Q` is not the same site"),
            ("other scheme", "[\"http://a\", \"https://b\"]", "`https://b` is not the same site"),
            ("twice", "[\"http://a\", \"http://a:80\"]", "`http://a` is there twice"),
            ("no address", "[\"http://a\", \"b\"]", "`b` has no scheme"),
            ("no text", "5", "an address such as"),
        ] {
            let said = read(value).unwrap_err();
            assert!(said.contains(expected), "{name}: {said}");
        }
    }
}
