//! Which of the CMS's paths the gate takes over.
//!
//! An old CMS answers with the same page under many names: below any content, under prefixes, and by
//! the name of a form field ([`super::fields`]). A rule therefore looks at every segment of a path, not at its end.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, de};
use url::form_urlencoded;

use super::fields::is_read_as;
use crate::secret::Secret;

/// What the gate answers instead of the CMS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TakenOver {
    /// The page to sign in.
    SignIn,
    /// The page to sign out.
    SignOut,
    /// The page to ask for a new password.
    RequestReset,
    /// The page where a reset link leads.
    ResetLink {
        /// The token, if the address holds one that the CMS could have made.
        token: Option<Secret>,
        /// The name of the account, if the address holds it.
        user: Option<String>,
    },
    /// The page to change a password, on that of one's account.
    ChangePassword,
    /// Nobody's: the CMS's machinery behind these pages, without a page of its own.
    Closed,
}

/// Which paths the gate takes over. A pattern is one segment or several (`@users/*/reset-password`),
/// `*` is any segment, and it may stand anywhere in a path.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PathRules {
    /// Whether the CMS looks for each name of a path in all the folders above as well, as Zope does.
    acquires: bool,
    /// Whether the CMS finds its pages in any case, as Drupal does.
    ignore_case: bool,
    /// The fields of a query of the CMS's sign-in page that say where to go afterwards.
    next_query: Vec<String>,
    /// The fields of a query of the CMS's forgotten-password page that name the account.
    user_query: Vec<String>,
    /// What may stand before a view's name without changing it.
    view_prefixes: Vec<String>,
    /// How the names begin that lead to where they stand, so that a path means the same without them.
    transparent: Vec<String>,
    /// How the names begin behind which the CMS keeps files, such as styles and pictures of its design.
    resources: Vec<String>,
    /// The members of a body in JSON whose texts name what is to be copied or moved.
    sources: Vec<String>,
    /// What is the CMS's own business although a pattern fits it: paths that end in one of these.
    passed: Vec<Pattern>,
    sign_in: Vec<Pattern>,
    sign_out: Vec<Pattern>,
    reset_request: Vec<Pattern>,
    reset_link: Vec<Pattern>,
    change_password: Vec<Pattern>,
    closed: Vec<Pattern>,
    /// What a field of the query makes of a path that has many uses.
    by_query: Vec<QueryRule>,
    pub(super) token: Option<TokenRules>,
}

/// What a path is for, where a field of its query says so (`wp-login.php?action=rp`).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct QueryRule {
    path: Pattern,
    field: String,
    /// Any of these, in any case.
    values: Vec<String>,
    leads_to: Leads,
}

/// A list of patterns, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Leads {
    SignIn,
    SignOut,
    ResetRequest,
    ResetLink,
    ChangePassword,
    Closed,
}

impl QueryRule {
    fn holds(&self, segments: &[impl AsRef<str>], query: &str) -> bool {
        self.path.is_within(segments)
            && form_urlencoded::parse(query.as_bytes()).any(|(name, value)| {
                is_read_as(&name, &self.field)
                    && self.values.iter().any(|wanted| wanted.eq_ignore_ascii_case(&value))
            })
    }
}

/// Where a reset link holds its token, and what a token looks like.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TokenRules {
    /// The segment before it, if it stands in the path.
    after: Option<String>,
    /// The names it has in a query.
    query: Vec<String>,
    /// The names of its parts, if it has several: segments after `after`, or fields of the query. Joined by `~` they are the
    /// token.
    parts: Vec<String>,
    /// The names that the account has in a query.
    user_query: Vec<String>,
    /// The shortest and the longest, in characters, `~` included; 1 to 256.
    length: Option<(usize, usize)>,
    /// What may stand in it besides letters, digits, `-` and `_`.
    characters: String,
}

impl TokenRules {
    /// What joins the parts of a token; it can stand in none of them.
    pub(super) const BETWEEN: char = '~';

    /// A part of a token, by its name.
    pub(super) fn part<'t>(&self, token: &'t str, name: &str) -> Option<&'t str> {
        let at = self.parts.iter().position(|part| part == name)?;
        token.split(Self::BETWEEN).nth(at)
    }

    pub(super) fn has_part(&self, name: &str) -> bool {
        self.parts.iter().any(|part| part == name)
    }

    /// How many segments of a path it takes.
    fn segments(&self) -> usize {
        self.parts.len().max(1)
    }

    fn is_token(&self, token: &str) -> bool {
        let (least, most) = self.length.unwrap_or((1, 256));
        let plain = |part: &str| {
            !part.is_empty()
                && part.chars().all(|c| {
                    c.is_ascii_alphanumeric() || matches!(c, '-' | '_') || self.characters.contains(c)
                })
        };
        (least..=most).contains(&token.len())
            && match self.parts.len() {
                0 => plain(token),
                count => token.split(Self::BETWEEN).count() == count && token.split(Self::BETWEEN).all(plain),
            }
    }

    /// Checks what serde cannot see.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.characters.contains([Self::BETWEEN, '/', '%', '?', '#'])
            || !self.characters.chars().all(|c| c.is_ascii_graphic() || c == ' ')
        {
            return Err(
                "`paths.token.characters` holds blanks and visible ASCII without ~ / % ? #".to_owned()
            );
        }
        if self.after.is_none() && self.query.is_empty() && self.parts.is_empty() {
            return Err("`paths.token` needs `after`, `query` or `parts`: where is it?".to_owned());
        }
        if !self.parts.is_empty() && !self.query.is_empty() {
            return Err("`paths.token` has `parts`, which the query holds under these names; remove `query`"
                .to_owned());
        }
        Ok(())
    }
}

impl PathRules {
    /// With the values of `[settings]` in their places.
    pub(super) fn settled(&self, settings: &BTreeMap<String, String>) -> Result<Self, String> {
        let mut rules = self.clone();
        for pattern in rules.lists().into_iter().flatten() {
            let mut written = pattern.0.join("/");
            for (name, value) in settings {
                written = written.replace(&format!("{{settings.{name}}}"), value);
            }
            if written.contains("{settings.") || written.split('/').any(str::is_empty) {
                return Err(format!(
                    "`{written}` in `paths`: `[settings]` has no such value, or an unfit one"
                ));
            }
            pattern.0 = written.split('/').map(str::to_owned).collect();
        }
        if rules.ignore_case {
            let lower =
                |pattern: &mut Pattern| pattern.0.iter_mut().for_each(|name| *name = name.to_lowercase());
            rules.lists().into_iter().flatten().for_each(lower);
            rules.passed.iter_mut().for_each(lower);
            rules.by_query.iter_mut().for_each(|rule| lower(&mut rule.path));
        }
        Ok(rules)
    }

    fn lists(&mut self) -> [&mut Vec<Pattern>; 6] {
        [
            &mut self.sign_in,
            &mut self.sign_out,
            &mut self.reset_request,
            &mut self.reset_link,
            &mut self.change_password,
            &mut self.closed,
        ]
    }

    /// Which of the gate's pages a path leads to, if any.
    ///
    /// `segments` are the path's segments, decoded, without the part before the site; `query` is the raw
    /// query. What the CMS's machinery is comes first, then links, then forms: the first that holds decides.
    pub fn taken_over<'a>(
        &self,
        segments: impl IntoIterator<Item = &'a str>,
        query: Option<&str>,
    ) -> Option<TakenOver> {
        let segments: Vec<&str> =
            segments.into_iter().filter(|s| !s.is_empty()).map(|segment| self.view_name(segment)).collect();
        let names = self.compared(&segments);
        let within = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.is_within(&names));
        let raw = query.unwrap_or_default();
        let by_query = |to: Leads| self.by_query.iter().any(|r| r.leads_to == to && r.holds(&names, raw));
        let order = [
            (Leads::Closed, &self.closed),
            (Leads::ResetLink, &self.reset_link),
            (Leads::ResetRequest, &self.reset_request),
            (Leads::ChangePassword, &self.change_password),
            (Leads::SignOut, &self.sign_out),
            (Leads::SignIn, &self.sign_in),
        ];
        if within(&self.closed) {
            return Some(TakenOver::Closed);
        }
        // A field of the query says more than the path it is sent to.
        let leads = order.iter().find(|(to, _)| by_query(*to)).map(|(to, _)| *to).or_else(|| {
            let (to, _) = order.into_iter().find(|(_, patterns)| within(patterns))?;
            let passed = to != Leads::Closed && self.passed.iter().any(|pattern| pattern.ends(&names));
            (!passed).then_some(to)
        })?;
        Some(match leads {
            Leads::Closed => TakenOver::Closed,
            Leads::ResetLink => {
                let (token, user) = self.token_and_user(&segments, query);
                TakenOver::ResetLink { token, user }
            }
            Leads::ResetRequest => TakenOver::RequestReset,
            Leads::ChangePassword => TakenOver::ChangePassword,
            Leads::SignOut => TakenOver::SignOut,
            Leads::SignIn => TakenOver::SignIn,
        })
    }

    /// Whether the CMS looks for each name of a path in all the folders above as well: then what lies at one path is found at
    /// others, and rules about paths hold for those, too.
    pub fn acquires(&self) -> bool {
        self.acquires
    }

    /// What may stand before a segment without changing it.
    pub fn view_prefixes(&self) -> &[String] {
        &self.view_prefixes
    }

    /// How the names begin that lead to where they stand: what follows is found as if they were not there. Only a CMS that
    /// [acquires](Self::acquires) is taken to have them.
    pub fn transparent(&self) -> &[String] {
        &self.transparent
    }

    /// How the names begin behind which the CMS keeps files and no pages. Before one, a [transparent](Self::transparent) name counts.
    pub fn resources(&self) -> &[String] {
        &self.resources
    }

    /// The members of a body in JSON whose texts name, by path or address, what is to be copied or moved; read where the dialogue
    /// names members that sign in, too.
    pub fn sources(&self) -> &[String] {
        &self.sources
    }

    /// The fields of a query of the CMS's sign-in page that say where to go afterwards.
    pub fn next_query(&self) -> &[String] {
        &self.next_query
    }

    /// The fields of a query of the CMS's forgotten-password page that name the account.
    pub fn user_query(&self) -> &[String] {
        &self.user_query
    }

    /// Whether a path is that of a page for reset links and nothing else: such a page at its end, or before a token that could be
    /// one. An old CMS goes on from the page to whatever stands behind it.
    pub fn is_reset_page<'a>(&self, segments: impl IntoIterator<Item = &'a str>) -> bool {
        let segments: Vec<&str> =
            segments.into_iter().filter(|s| !s.is_empty()).map(|segment| self.view_name(segment)).collect();
        let names = self.compared(&segments);
        let leads = |names: &[Cow<'_, str>]| self.reset_link.iter().any(|page| page.is_within(names));
        let ends = |names: &[Cow<'_, str>]| self.reset_link.iter().any(|page| page.ends(names));
        // No such page but the one at the end.
        let alone =
            |page: &[Cow<'_, str>]| ends(page) && page.split_last().is_some_and(|(_, before)| !leads(before));
        let behind =
            self.token.as_ref().filter(|rules| rules.after.is_some()).map_or(1, TokenRules::segments);
        let split = segments.len().saturating_sub(behind);
        alone(&names)
            || names.split_at_checked(split).is_some_and(|(page, token)| {
                token.len() == behind && alone(page) && self.is_token(&token.join(TOKEN_BETWEEN))
            })
    }

    /// Whether the CMS could have made this token; any other need not be sent to it.
    pub fn is_token(&self, token: &str) -> bool {
        match &self.token {
            Some(rules) => rules.is_token(token),
            None => TokenRules::default().is_token(token),
        }
    }

    fn token_and_user(&self, segments: &[&str], query: Option<&str>) -> (Option<Secret>, Option<String>) {
        let Some(rules) = &self.token else { return (None, None) };
        let after = |after: &String| self.compared(segments).iter().position(|segment| segment == after);
        let below = rules.after.as_ref().and_then(after).and_then(|at| {
            let behind = segments.get(at.saturating_add(1)..)?;
            behind.get(..rules.segments()).map(|parts| parts.join(TOKEN_BETWEEN))
        });
        let query = query.unwrap_or_default().as_bytes();
        let in_query = |names: &[String]| {
            form_urlencoded::parse(query)
                .find(|(name, _)| names.iter().any(|wanted| wanted == name))
                .map(|(_, value)| value.into_owned())
        };
        let in_parts = || {
            let parts: Option<Vec<String>> =
                rules.parts.iter().map(|part| in_query(std::slice::from_ref(part))).collect();
            parts.filter(|parts| !parts.is_empty()).map(|parts| parts.join(TOKEN_BETWEEN))
        };
        let token = below.or_else(|| in_query(&rules.query)).or_else(in_parts);
        let token = token.filter(|token| self.is_token(token)).map(Secret::new);
        (token, in_query(&rules.user_query).filter(|user| !user.is_empty()))
    }

    /// The segments as patterns are compared with them.
    fn compared<'s>(&self, segments: &[&'s str]) -> Vec<Cow<'s, str>> {
        let lower = |segment: &&'s str| Cow::Owned(segment.to_lowercase());
        let same = |segment: &&'s str| Cow::Borrowed(*segment);
        if self.ignore_case {
            segments.iter().map(lower).collect()
        } else {
            segments.iter().map(same).collect()
        }
    }

    fn view_name<'a>(&self, mut segment: &'a str) -> &'a str {
        while let Some(rest) =
            self.view_prefixes.iter().filter(|p| !p.is_empty()).find_map(|p| segment.strip_prefix(p.as_str()))
        {
            segment = rest;
        }
        segment
    }
}

const TOKEN_BETWEEN: &str = "~";

/// One segment or several that follow each other; `*` is any.
#[derive(Clone, Debug)]
pub(super) struct Pattern(Vec<String>);

impl Pattern {
    pub(super) fn is_within(&self, segments: &[impl AsRef<str>]) -> bool {
        let mut windows = segments.windows(self.0.len().max(1));
        windows.any(|window| {
            self.0.iter().zip(window).all(|(wanted, seen)| wanted == "*" || wanted == seen.as_ref())
        })
    }
}

impl Pattern {
    /// Whether the last of `segments` are these.
    fn ends(&self, segments: &[impl AsRef<str>]) -> bool {
        let split = segments.len().checked_sub(self.0.len());
        split.and_then(|at| segments.get(at..)).is_some_and(|end| self.is_within(end))
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        segments(deserializer).map(Self)
    }
}

/// The last segments of a redirect's path.
#[derive(Clone, Debug)]
pub(super) struct Suffix(Vec<String>);

impl Suffix {
    /// Whether `path` ends in these segments.
    pub(super) fn ends(&self, path: &str) -> bool {
        let trimmed = path.strip_suffix('/').unwrap_or(path);
        let mut last = trimmed.rsplit('/');
        self.0.iter().rev().all(|wanted| last.next().is_some_and(|segment| segment == wanted))
    }
}

impl<'de> Deserialize<'de> for Suffix {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        segments(deserializer).map(Self)
    }
}

fn segments<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let written = String::deserialize(deserializer)?;
    let segments: Vec<String> = written.split('/').map(str::to_owned).collect();
    if segments.iter().any(String::is_empty) {
        return Err(de::Error::custom(format!("`{written}`: write segments with one slash between two")));
    }
    Ok(segments)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cms::Dialogue;

    const TOKEN: &str = "0123456789abcdef0123456789abcdef";

    fn plone() -> Dialogue {
        Dialogue::built_in("plone").unwrap().unwrap()
    }

    fn link(token: Option<&str>, user: Option<&str>) -> Option<TakenOver> {
        Some(TakenOver::ResetLink { token: token.map(Secret::new), user: user.map(str::to_owned) })
    }

    #[test]
    fn every_spelling_that_reaches_the_cms_own_pages_is_taken_over() {
        use TakenOver::{ChangePassword, Closed, RequestReset, SignIn, SignOut};
        let plone = plone();
        for (path, query, wanted) in [
            ("@@change-password", "", Some(ChangePassword)),
            ("docs/change-password", "", Some(ChangePassword)),
            ("portal_membership/setPassword", "", Some(Closed)),
            ("portal_membership/testCurrentPassword", "", Some(Closed)),
            ("acl_users/source_users/manage_updatePassword", "", Some(Closed)),
            ("portal_membership/logoutUser", "", Some(SignOut)),
            ("news/aq_parent/aq_parent", "", Some(Closed)),
            ("news/Plone/@@POST_application_json_@users/x/reset-password", "", Some(Closed)),
            ("++view++POST_application_json_@users/x/reset-password", "", Some(Closed)),
            ("POST_application_json_@login", "", Some(Closed)),
            ("@@GET_application_json_@search", "", None),
            ("login", "", Some(SignIn)),
            ("login_form", "came_from=/x", Some(SignIn)),
            ("@@login", "", Some(SignIn)),
            ("++view++login", "", Some(SignIn)),
            ("@@++view++login", "", Some(SignIn)),
            ("failsafe_login_form", "", Some(SignIn)),
            ("acl_users/credentials_cookie_auth/require_login", "came_from=/p", Some(SignIn)),
            ("logged_out", "", Some(SignIn)),
            ("docs/logout", "", Some(SignOut)),
            ("logout/", "", Some(SignOut)),
            ("catalogout", "", None),
            ("docs/login-page", "", None),
            ("mail_password", "", Some(RequestReset)),
            ("any/content/@@mail_password", "", Some(RequestReset)),
            ("mail_password/x", "", Some(RequestReset)),
            ("acl_users/@@mail_password", "", Some(RequestReset)),
            ("++view++mail_password", "userid=jdoe", Some(RequestReset)),
            ("login-help", "", Some(RequestReset)),
            ("portal_registration/mailPassword", "login=jdoe", Some(Closed)),
            ("portal_registration", "", Some(Closed)),
            ("portal_registration/mail_password_response", "", Some(Closed)),
            ("docs/portal_registration/mailPassword", "", Some(Closed)),
            ("@users/jdoe/reset-password", "", Some(Closed)),
            ("++api++/@users/jdoe/reset-password", "", Some(Closed)),
            ("@users/jdoe", "", None),
            ("@login", "", Some(Closed)),
            (&format!("passwordreset/{TOKEN}"), "", link(Some(TOKEN), None)),
            (&format!("docs/@@passwordreset/{TOKEN}"), "userid=as%20m", link(Some(TOKEN), Some("as m"))),
            ("passwordreset", &format!("key={TOKEN}"), link(Some(TOKEN), None)),
            ("pwreset_form", &format!("randomstring={TOKEN}&userid="), link(Some(TOKEN), None)),
            ("passwordreset", "", link(None, None)),
            ("passwordreset/VirtualHostRoot", "", link(None, None)),
            ("passwordreset/..", "", link(None, None)),
            ("", "", None),
            ("news/2010", "login=1", None),
        ] {
            let query = Some(query).filter(|query| !query.is_empty());
            assert_eq!(plone.paths().taken_over(path.split('/'), query), wanted, "/{path}?{query:?}");
        }
    }

    #[test]
    fn each_door_of_structr_is_taken_over() {
        use TakenOver::{Closed, RequestReset, SignIn, SignOut};
        let structr = Dialogue::built_in("structr").unwrap().unwrap();
        for (path, wanted) in [
            ("structr/rest/login", Some(SignIn)),
            ("structr/login", Some(SignIn)),
            ("structr/login/", Some(SignIn)),
            ("structr/rest/logout", Some(SignOut)),
            ("structr/logout", Some(SignOut)),
            ("structr/rest/token", Some(Closed)),
            ("structr/token", Some(Closed)),
            ("structr/rest/resetPassword", Some(RequestReset)),
            ("structr/rest/tokens", None),
            ("login", None),
        ] {
            assert_eq!(structr.paths().taken_over(path.split('/'), None), wanted, "/{path}");
        }
    }

    #[test]
    fn a_redirect_is_read_by_its_last_segments() {
        let end = Suffix(vec!["require_login".to_owned()]);
        for (path, ends) in [
            ("/Plone/acl_users/credentials_cookie_auth/require_login", true),
            ("/require_login/", true),
            ("require_login", true),
            ("/not_require_login", false),
            ("/require_login/x", false),
            ("", false),
        ] {
            assert_eq!(end.ends(path), ends, "{path}");
        }
    }
}
