//! The backend, as the gate speaks with it.

use std::net::ToSocketAddrs as _;
use std::sync::Arc;

use super::Ward;
use super::leaks;
use super::report::{Level, Report};
use crate::clock::SystemClock;
use crate::cms::{Examined, FormVerdict, KeptCookies, SignIn, SignOut, Verdict, WhoAmI};
use crate::config::{self, VirtualHosting};
use crate::forward::Member;
use crate::gate::Site;

pub(super) async fn examine(ward: &Ward<'_>, report: &mut Report) {
    let Some(product) = reachable(ward, report).await else { return };
    hosting(ward, product, report).await;
    form(ward, "sign-in form", ward.site.cms.examine_sign_in_form(&ward.asker).await, report);
    if let Some(elsewhere) = ward.site.elsewhere() {
        report.ok("mail-password form", format!("not looked for: {}", elsewhere.with("")));
    } else if ward.site.requests_reset() {
        form(ward, "mail-password form", ward.site.cms.examine_reset_form(&ward.asker).await, report);
    } else {
        report.ok("mail-password form", "not looked for: switched off, or the dialogue has no such thing");
    }
    nobody(ward, report).await;
    account(ward, report).await;
    mail(ward, report).await;
}

/// Speaks with the CMS at its own address, without telling it the public one. `None`: there is nobody to speak with;
/// otherwise whether it is the CMS of the dialogue.
async fn reachable(ward: &Ward<'_>, report: &mut Report) -> Option<bool> {
    const CHECK: &str = "backend";
    let plain = config::Site { virtual_hosting: VirtualHosting::Rewrite, ..ward.written.clone() };
    let site = match Site::new(ward.config, &plain, Arc::new(SystemClock)) {
        Ok(site) => site,
        Err(sentence) => {
            report.fail(CHECK, sentence, "correct proxy.toml; `lychgate check` shows where");
            return None;
        }
    };
    let address = ward.written.backend_url.as_ref();
    match site.cms.examine_product(&ward.asker).await {
        Examined::NotDescribed => {
            report.warn(CHECK, "the dialogue does not say where to look", "give it a [doctor] table");
            Some(false)
        }
        Examined::NoAnswer { evidence } => {
            let unknown = site.backends.members().find(|member| {
                let mut found = (member.host.as_str(), member.port).to_socket_addrs().into_iter().flatten();
                found.next().is_none()
            });
            let places = site.backends.members().map(|Member { host, port, .. }| format!("{host}:{port}"));
            let places = places.collect::<Vec<_>>().join(", ");
            let next = match unknown {
                None => {
                    format!(
                        "see that the CMS runs and listens at {places}, and that no firewall stands between"
                    )
                }
                Some(Member { host, .. }) => {
                    format!("no address is known for {host}: correct backend_url, or this machine's DNS")
                }
            };
            report.fail(CHECK, format!("{address}: {evidence}"), &next);
            None
        }
        Examined::Answer { verdict, evidence, advice, took, .. } => {
            report.ok(CHECK, format!("{address} answers, in {} ms", took.as_millis()));
            let name = ward.site.cms.dialogue().name();
            match &verdict {
                Some(product) => report.ok("CMS", product.clone()),
                None => report.warn("CMS", format!("not recognised as `{name}`: {evidence}"), &advice),
            }
            Some(verdict.is_some())
        }
    }
}

/// Whether the CMS writes public links when told its public address. `recognised`: it was the CMS when asked without.
async fn hosting(ward: &Ward<'_>, recognised: bool, report: &mut Report) {
    const CHECK: &str = "virtual hosting";
    let how = ward.written.virtual_hosting;
    if how == VirtualHosting::Rewrite {
        let next =
            "if the CMS can be told its public address, virtual_hosting = \"zope\" or \"forwarded\" does it";
        return report.warn(
            CHECK,
            "switched off: the gate rewrites links in pages, but mails name the inside",
            next,
        );
    }
    let other = match how {
        VirtualHosting::Zope => {
            "see that the Zope root has a VirtualHostMonster (virtual_hosting) and that backend_url names Zope itself, or write virtual_hosting = \"rewrite\""
        }
        VirtualHosting::Forwarded | VirtualHosting::Rewrite => {
            "have the CMS follow Host and X-Forwarded-*, or write virtual_hosting = \"zope\" or \"rewrite\""
        }
    };
    match ward.site.cms.examine_product(&ward.asker).await {
        Examined::NotDescribed => {}
        Examined::NoAnswer { evidence } => {
            report.fail(CHECK, format!("told its public address, it says nothing: {evidence}"), other)
        }
        Examined::Answer { verdict: None, evidence, .. } if recognised => {
            report.fail(CHECK, format!("told its public address, the CMS is not found: {evidence}"), other);
        }
        Examined::Answer { page, .. } => {
            let inside = ward.inside().map(|inside| (inside, format!("{}{inside}", ward.site.origin)));
            let mut found = leaks::in_text(&ward.site.origins, page.as_bytes());
            // It heeds its host and not its path: the gate does the rest.
            let keeps_path =
                |name: &str| inside.as_ref().is_some_and(|(_, whole)| name.starts_with(whole.as_str()));
            found.retain(|leak| how != VirtualHosting::Forwarded || !keeps_path(&leak.name));
            if !found.is_empty() {
                let what = "told its public address, the CMS still writes internal ones".to_owned();
                report.add(
                    Level::Fail,
                    CHECK,
                    what,
                    other,
                    found.into_iter().map(|leak| leak.name).collect(),
                );
            } else if let Some((inside, _)) =
                inside.as_ref().filter(|(_, whole)| page.contains(&format!("{whole}/")))
            {
                let found = format!(
                    "told its public address, the CMS still writes links with {inside}, its path inside"
                );
                if how == VirtualHosting::Forwarded {
                    let found = format!("{found}; the gate maps them");
                    report.warn(
                        CHECK,
                        found,
                        "have it follow X-Forwarded-Prefix, if it can, or mail pass the gate's relay",
                    );
                } else {
                    report.fail(CHECK, found, other);
                }
            } else if page.contains(&ward.site.origin) {
                report.ok(CHECK, format!("the CMS itself writes links to {}", ward.site.origin));
            } else {
                report.warn(CHECK, "the page that was looked at has no absolute links at all", other);
            }
        }
    }
}

fn form(ward: &Ward<'_>, check: &'static str, examined: Examined<FormVerdict>, report: &mut Report) {
    match examined {
        Examined::NotDescribed => {
            let name = ward.site.cms.dialogue().name();
            report.warn(check, format!("the dialogue `{name}` does not say where it is"), "try it by hand");
        }
        Examined::NoAnswer { evidence } => {
            report.fail(check, evidence, "see the CMS's own log for what keeps it from answering");
        }
        Examined::Answer { verdict: Some(FormVerdict::Found), took, .. } => {
            report.ok(check, format!("found, in {} ms", took.as_millis()));
        }
        Examined::Answer { verdict: Some(FormVerdict::Closed), advice, .. } => {
            report.fail(check, "the CMS wants people to sign in before they see it", &advice);
        }
        Examined::Answer { verdict: None, evidence, advice, .. } => {
            report.fail(check, format!("not found: {evidence}"), &advice);
        }
    }
}

/// Who brings nothing must be nobody.
async fn nobody(ward: &Ward<'_>, report: &mut Report) {
    const CHECK: &str = "anonymity";
    match ward.site.cms.who_am_i(&KeptCookies::default(), &ward.asker).await {
        WhoAmI::Anonymous => report.ok(CHECK, "to the CMS, the gate without a visitor's sign-in is nobody"),
        WhoAmI::SignedIn { .. } => report.fail(
            CHECK,
            "to the CMS, the gate without any sign-in is somebody: so is every visitor, and no reset mail may be sent",
            "find what signs requests from this machine in (a trusted header, an address rule), and except the gate",
        ),
        WhoAmI::Unknown { evidence } | WhoAmI::Unreachable { evidence } => {
            let next = "nothing to do, unless people are sent to sign in again and again";
            report.warn(CHECK, format!("the CMS does not say whom it takes the gate for: {evidence}"), next);
        }
    }
}

/// Signs in at the CMS, and out again.
async fn account(ward: &Ward<'_>, report: &mut Report) {
    const CHECK: &str = "sign-in at the CMS";
    let Some(account) = ward.account else { return };
    match ward.site.cms.sign_in(&account.user, &account.password, &ward.asker).await {
        SignIn::Ok { cookies, .. } => {
            match ward.site.cms.who_am_i(&cookies, &ward.asker).await {
                WhoAmI::SignedIn { .. } => {
                    report.ok(CHECK, "the password is right, and the CMS knows its own cookie again")
                }
                WhoAmI::Anonymous => report.fail(
                    CHECK,
                    "the password is right, but the CMS does not know its own cookie again",
                    "see that the CMS's cookie is not bound to another host, path or scheme",
                ),
                WhoAmI::Unknown { evidence } | WhoAmI::Unreachable { evidence } => {
                    report.warn(
                        CHECK,
                        format!("the password is right; then: {evidence}"),
                        "see the CMS's own log",
                    );
                }
            }
            if let SignOut::Unknown { evidence } | SignOut::Unreachable { evidence } =
                ward.site.cms.sign_out(&cookies, &ward.asker).await
            {
                report.warn(
                    "sign-out",
                    format!("the CMS did not confirm it: {evidence}"),
                    "see the CMS's own log",
                );
            }
        }
        SignIn::Refused => {
            report.fail(CHECK, "name or password was refused", "try the same at the CMS itself")
        }
        SignIn::Unknown { evidence } => {
            report.fail(
                CHECK,
                format!("the answer is neither yes nor no: {evidence}"),
                "see whether the CMS's sign-in was changed; its dialogue must follow",
            );
        }
        SignIn::Unreachable { evidence } => {
            report.fail(CHECK, evidence, "see the CMS's own log for what keeps it from answering");
        }
    }
}

/// Has a mail sent, if that was asked for.
async fn mail(ward: &Ward<'_>, report: &mut Report) {
    const CHECK: &str = "mail";
    if !ward.site.requests_reset() {
        return;
    }
    let Some(user) = &ward.arguments.mailbox else {
        let next = "--mailbox USER has a real reset mail sent to an account whose mail you can read";
        return report.warn(CHECK, "not tried", next);
    };
    let requested = ward.site.cms.request_reset(user, &ward.asker).await;
    let (verdict, evidence) = (requested.verdict, requested.evidence);
    let next = match verdict {
        Verdict::Ok => {
            let next = format!(
                "see that it arrives, and that its link begins with {}; a CMS may hide that its mail server refused",
                ward.site.public
            );
            return report.add(
                Level::Ok,
                CHECK,
                "the CMS says that it has sent it".to_owned(),
                &next,
                Vec::new(),
            );
        }
        Verdict::NoAccount => "name an account with a mail address that the CMS can use",
        Verdict::NotSupported => "let Anonymous ask for reset mails at the CMS",
        Verdict::ResetError => "see the CMS's mail settings and its own log",
        Verdict::FailedToConnect => "see the CMS's own log for what keeps it from answering",
        _ => "see whether the CMS's form was changed; its dialogue must follow",
    };
    report.fail(CHECK, format!("{verdict}: {evidence}"), next);
}
