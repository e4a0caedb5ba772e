//! A site as the gate serves it: what `proxy.toml` says of it, made ready.

use std::net::IpAddr;
use std::sync::Arc;

use http::header::USER_AGENT;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::policy;
use crate::admit::{CanonicalPath, PublicHost};
use crate::clock::Clock;
use crate::cms::{self, Trust};
use crate::config::url::{Scheme, SiteUrl};
use crate::config::{self, SignIn, VirtualHosting};
use crate::forward::{self, Destination, Load, Member, Security, Standing};
use crate::identity;
use crate::observe::metrics::SiteMetrics;
use crate::recovery::{self, Way};
use crate::rewrite::{Mode, Origins};
use crate::secret::Secret;
use crate::session::cookie::Names;
use crate::tls;

/// One site, shared by all workers.
pub struct Site {
    /// Its name in `proxy.toml`.
    pub name: String,
    /// Its only public address.
    pub public: SiteUrl,
    /// [`SiteUrl::origin`] of the above, as browsers write it in `Origin`.
    pub origin: String,
    /// The public path of the gate's own pages, such as `/_gate`.
    pub prefix: String,
    /// What the gate's cookies are called at it.
    pub cookies: Names,
    /// The public path of the front page, such as `/`.
    pub home: String,
    /// Who may reach what.
    pub access: policy::Settings,
    /// Who vouches for a password.
    pub sign_in: SignIn,
    /// How long refusals take.
    pub pace: Arc<identity::Pace>,
    /// The site whose local users sign in here, where they do.
    pub users: String,
    /// Every site at which those users can be signed in.
    pub shared_with: Vec<String>,
    /// The fields that tell the backend who is signed in.
    pub identity_headers: identity::Headers,
    /// The conversation with its forms.
    pub cms: cms::Backend,
    /// Where forwarded requests go.
    pub destination: Destination,
    /// Where it is, and how it is doing there.
    pub backends: Arc<Standing>,
    /// What they work on.
    pub load: Arc<Load>,
    /// How patient to be with it.
    pub forward: forward::Settings,
    /// The largest form that is kept until its sender has signed in, in bytes; 0 for none.
    pub hold_posts: u64,
    /// Inside and outside.
    pub origins: Arc<Origins>,
    /// What is counted of it.
    pub metrics: Arc<SiteMetrics>,
    /// Forgotten passwords.
    pub reset: recovery::Settings,
    /// The header by which the CMS knows a trusted request, if one is configured.
    pub trust: Option<(HeaderName, Secret)>,
}

impl Site {
    /// Makes a site ready. By `clock` its backends are left out and come back.
    ///
    /// # Errors
    /// What is wrong, in a sentence, when a secret cannot be had or the address maps contradict each other.
    pub fn new(config: &config::Config, site: &config::Site, clock: Arc<dyn Clock>) -> Result<Self, String> {
        let (public, backend) = (site.public_url.as_ref().clone(), site.backend_url.as_ref().first());
        let destination = destination(site.virtual_hosting, &public, backend)?;
        let trust = match &site.password_reset.header {
            Some(header) => Some((header.name.0.clone(), config.secret(&header.value)?)),
            None => None,
        };
        let ca = site.forward.ca.as_ref().map(|ca| config.folder.join(ca));
        let tls =
            (backend.scheme() == Scheme::Https).then(|| tls::client_config(ca.as_deref())).transpose()?;
        let members = site.backend_url.as_ref().iter().map(|backend| {
            let host = backend.host().name().trim_matches(['[', ']']).to_owned();
            let security = tls.as_ref().map(|tls| Security::new(Arc::clone(tls), &host)).transpose()?;
            Ok(Member { host, port: backend.port(), security })
        });
        let members = members.collect::<Result<Vec<_>, String>>()?;
        let backends = Arc::new(Standing::new(members, &site.forward, clock));
        let mut rewriting = site.rewrite.clone();
        // Where another site of the gate is at our internal path, that path in a link may well mean it.
        rewriting.links &= !neighbours(config, site).any(|other| overlap(other.path(), backend.path()));
        let others = config.sites.iter().map(toml::Spanned::as_ref);
        let others = others.filter(|other| other.name.as_ref() != site.name.as_ref());
        let others = others.map(origins).collect::<Result<Vec<_>, _>>()?;
        let origins = origins(site)?.beside(&others).with(&rewriting);
        let settings = cms::BackendSettings {
            address: url(&format!("{}{}", backend.origin(), destination.path_prefix))?,
            host: Some(destination.host.clone()),
            public_url: url(&public.to_string())?,
            trust: Trust {
                user_agent: Some(site.password_reset.user_agent.0.clone()),
                header: trust.clone(),
            },
            source_address: site.password_reset.source_address,
            tls,
            lenient: site.forward.danger_lenient_answers,
            connect_timeout: site.forward.connect_timeout.as_duration(),
            timeout: site.forward.response_timeout.as_duration(),
        };
        let dialogue = config.dialogue(site)?;
        let cms = cms::Backend::new(Arc::new(dialogue), settings)
            .map_err(|error| error.to_string())?
            .among(Arc::clone(&backends));
        Ok(Self {
            name: site.name.as_ref().clone(),
            origin: public.origin(),
            cookies: Names::new(
                public.scheme() == Scheme::Https,
                neighbours(config, site).next().map(|_| site.name.as_ref().as_str()),
            ),
            home: format!("{}/", public.path()),
            prefix: format!("{}{}", public.path(), config.server.prefix.as_str()),
            access: match cms.dialogue().paths().acquires() {
                true => acquiring(config, site, cms.dialogue().paths()),
                false => site.access.clone(),
            }
            .with_view_prefixes(cms.dialogue().paths().view_prefixes()),
            sign_in: site.sign_in,
            pace: Arc::default(),
            users: config.users_of(site).to_owned(),
            shared_with: config.sites_with_users_of(config.users_of(site)),
            identity_headers: site.identity_headers.clone(),
            cms,
            destination,
            backends,
            load: Arc::default(),
            forward: site.forward.clone(),
            hold_posts: site.hold_posts.as_u64(),
            origins: Arc::new(origins),
            metrics: Arc::default(),
            reset: site.password_reset.clone(),
            trust,
            public,
        })
    }

    /// Whether visitors come through TLS.
    pub fn is_secure(&self) -> bool {
        self.public.scheme() == Scheme::Https
    }

    /// Whether there is help for who forgot the password, here or elsewhere.
    pub fn offers_reset(&self) -> bool {
        self.requests_reset() || self.elsewhere().is_some()
    }

    /// The page elsewhere that helps.
    pub fn elsewhere(&self) -> Option<&recovery::ForgottenUrl> {
        self.reset.forgotten_password_url.as_ref().filter(|_| self.reset.enabled)
    }

    /// Whether reset mails can be asked for: of the CMS, or of the gate for its own users.
    pub fn requests_reset(&self) -> bool {
        self.reset.enabled
            && self.reset.forgotten_password_url.is_none()
            && (Way::at(self) == Way::Issued || self.cms.dialogue().can_request_reset())
    }

    /// Whether the gate can set a new password with the link in such a mail.
    pub fn redeems(&self) -> bool {
        self.reset.enabled && (Way::at(self) == Way::Issued || self.cms.dialogue().can_redeem())
    }

    /// Whether whoever is signed in can change their password with the gate.
    pub fn changes_passwords(&self) -> bool {
        Way::at(self) == Way::Issued || self.cms.dialogue().can_change_password()
    }

    /// The part of `path` below the site, if it is the site's and the host too.
    pub fn path_of<'p>(&self, host: &PublicHost, path: &'p CanonicalPath) -> Option<&'p str> {
        self.public.is_at(host).then(|| path.below(self.public.path())).flatten()
    }

    /// Whether this is the agent of the gate's own requests, or of trusted ones, in any case: a backend may trust it too.
    pub fn is_trusted_agent(&self, agent: &HeaderValue) -> bool {
        let trusted = self.reset.trusted_requests.as_ref().and_then(|trusted| trusted.user_agent.as_ref());
        let is = |known: &[u8]| agent.as_bytes().eq_ignore_ascii_case(known);
        is(self.reset.user_agent.0.as_bytes()) || trusted.is_some_and(|trusted| is(trusted.0.as_bytes()))
    }

    /// Whether a request has every mark of a trusted one: agent and header, network, and exact path.
    pub fn trusts(&self, headers: &HeaderMap, client: IpAddr, path: &str) -> bool {
        let Some(trusted) = self.reset.trusted_requests.as_ref().filter(|_| self.reset.enabled) else {
            return false;
        };
        let path = path.strip_prefix('/').unwrap_or(path);
        let agents = headers.get_all(USER_AGENT);
        let agent = trusted.user_agent.as_ref().is_none_or(|agent| agents.iter().eq([&agent.0]));
        let header = !trusted.header
            || self.trust.as_ref().is_some_and(|(name, value)| {
                headers.get(name).is_some_and(|given| value.matches(given.as_bytes()))
            });
        agent
            && header
            && trusted.networks.iter().any(|network| network.contains(&client))
            && trusted.paths.iter().any(|trusted| trusted == path)
    }
}

/// Inside and outside of a site, seen by itself.
fn origins(site: &config::Site) -> Result<Origins, String> {
    let mode = match site.virtual_hosting {
        VirtualHosting::Rewrite => Mode::Full,
        VirtualHosting::Zope => Mode::Safety,
        VirtualHosting::Forwarded => Mode::Forwarded,
    };
    let (backends, public) = (site.backend_url.as_ref(), site.public_url.as_ref());
    // What the others call themselves is as internal as what the first does.
    let others = backends.others().iter().flat_map(|other| {
        let name = other.host().name();
        let address = name.trim_matches(['[', ']']).parse::<IpAddr>();
        let is_here = name == "localhost" || address.is_ok_and(|address| address.is_loopback());
        let aliases: &[&str] = if is_here { &["localhost", "127.0.0.1"] } else { &[] };
        let names = aliases.iter().copied().chain([name]);
        names.map(|name| format!("{name}:{}", other.port())).collect::<Vec<_>>()
    });
    let names: Vec<String> = site.internal_names.iter().cloned().chain(others).collect();
    Origins::new(&url(&backends.first().to_string())?, &url(&public.to_string())?, &names, mode)
        .map_err(|error| error.to_string())
}

fn url(text: &str) -> Result<url::Url, String> {
    text.parse().map_err(|error| format!("`{text}` is no address: {error}"))
}

/// The other sites whose public host has the same name, on whichever port: browsers give them the same cookies.
fn neighbours<'c>(config: &'c config::Config, site: &'c config::Site) -> impl Iterator<Item = &'c SiteUrl> {
    let others = config.sites.iter().map(toml::Spanned::as_ref);
    let others = others.filter(|other| other.name.as_ref() != site.name.as_ref());
    let host = site.public_url.as_ref().host().name();
    others.map(|other| other.public_url.as_ref()).filter(move |other| other.host().name() == host)
}

/// The rules of a site whose CMS finds everything that lies above it, too. The other sites that are in the same Zope it would show by
/// its own rules (`/PloneB/secret` at the address of `/PloneA`), so none of its paths leads into them.
fn acquiring(config: &config::Config, site: &config::Site, paths: &cms::PathRules) -> policy::Settings {
    let backends = site.backend_url.as_ref();
    let own = backends.first().path();
    let others = config.sites.iter().map(|other| other.as_ref().backend_url.as_ref());
    let together = others.filter(|other| {
        other.iter().any(|other| backends.iter().any(|backend| backend.authority() == other.authority()))
    });
    let beside = together.map(|other| other.first().path()).filter(|other| {
        let is_within = other.strip_prefix(own).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        !other.is_empty() && !is_within
    });
    let closed = beside.map(|other| policy::Rule::closing(other.as_bytes()));
    let rules = closed.chain(site.access.rules.iter().cloned()).collect();
    let starts = |starts: &[String]| starts.iter().filter(|start| !start.is_empty()).cloned().collect();
    let root = own.rsplit('/').next().filter(|name| !name.is_empty());
    policy::Settings {
        rules,
        acquires: true,
        transparent: starts(paths.transparent()),
        resources: starts(paths.resources()),
        root: root.map(|name| percent_encoding::percent_decode_str(name).collect()),
        ..site.access.clone()
    }
}

/// Whether one path, of those of sites, is the other or above it. None is at the root.
fn overlap(one: &str, two: &str) -> bool {
    let is_below = |path: &str, above: &str| {
        path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    !one.is_empty() && !two.is_empty() && (is_below(one, two) || is_below(two, one))
}

/// What a backend that is told its address by fields has to write before its paths, in place of its own: werkzeug, Spring and ASP.NET
/// know the field by this meaning.
fn public_prefix<'p>(hosting: VirtualHosting, public: &'p SiteUrl, backend: &SiteUrl) -> Option<&'p str> {
    let is_told =
        hosting == VirtualHosting::Forwarded && (public.path() != "" || public.path() != backend.path());
    is_told.then(|| if public.path().is_empty() { "/" } else { public.path() })
}

/// How the backend is told where it is.
fn destination(how: VirtualHosting, public: &SiteUrl, backend: &SiteUrl) -> Result<Destination, String> {
    let host = match how {
        VirtualHosting::Forwarded => public.authority(),
        VirtualHosting::Zope | VirtualHosting::Rewrite => backend.authority(),
    };
    let field =
        |text: &str| HeaderValue::from_str(text).map_err(|_| format!("`{text}` cannot stand in a header"));
    Ok(Destination {
        host: field(&host)?,
        path_prefix: path_prefix(how, public, backend),
        proto: HeaderValue::from_static(public.scheme().as_str()),
        public_host: field(&public.authority())?,
        public_port: HeaderValue::from(public.port()),
        public_prefix: public_prefix(how, public, backend).map(field).transpose()?,
    })
}

/// What stands before every path at the backend. The port is always named: without it Zope adds its own.
fn path_prefix(hosting: VirtualHosting, public: &SiteUrl, backend: &SiteUrl) -> String {
    if hosting != VirtualHosting::Zope {
        return backend.path().to_owned();
    }
    let (scheme, name, port) = (public.scheme().as_str(), public.host().name(), public.port());
    let below: String = public
        .path()
        .split('/')
        .filter(|segment| !segment.is_empty())
        .map(|segment| format!("/_vh_{segment}"))
        .collect();
    format!("/VirtualHostBase/{scheme}/{name}:{port}{}/VirtualHostRoot{below}", backend.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_all_backends_are_internal_in_mails_too() {
        let site: config::Site = toml::from_str(
            "name = \"a\"\npublic_url = \"https://www.example.org\"\nbackend_url = [\"http://10.0.0.5:8080/Plone\", \"http://cms2:8081/Plone\", \"http://[::1]:8082/Plone\"]",
        )
        .unwrap();
        let sites = crate::rewrite::Sites::new([&origins(&site).unwrap()]);
        for inside in ["10.0.0.5:8080", "cms2:8081", "[::1]:8082", "localhost:8082"] {
            let mail = format!("See http://{inside}/Plone/reset/1 .");
            let done = sites.rewrite(mail.as_bytes());
            assert_eq!(
                String::from_utf8_lossy(&done.text),
                "See https://www.example.org/reset/1 .",
                "{inside}"
            );
        }
    }

    #[test]
    fn zope_is_told_its_public_address_with_the_port() {
        for (public, backend, prefix) in [
            (
                "https://www.example.org",
                "http://127.0.0.1:8080/Plone",
                "/VirtualHostBase/https/www.example.org:443/Plone/VirtualHostRoot",
            ),
            (
                "http://localhost:8080",
                "http://127.0.0.1:8088",
                "/VirtualHostBase/http/localhost:8080/VirtualHostRoot",
            ),
            (
                "https://www.example.org/a/b",
                "http://h/Plone",
                "/VirtualHostBase/https/www.example.org:443/Plone/VirtualHostRoot/_vh_a/_vh_b",
            ),
        ] {
            assert_eq!(
                path_prefix(VirtualHosting::Zope, &public.parse().unwrap(), &backend.parse().unwrap()),
                prefix
            );
        }
        assert_eq!(
            path_prefix(
                VirtualHosting::Rewrite,
                &"https://a".parse().unwrap(),
                &"http://b/Plone".parse().unwrap()
            ),
            "/Plone"
        );
    }
}
