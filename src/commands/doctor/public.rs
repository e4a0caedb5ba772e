//! The public side: the gate as its visitors meet it.

use http::Method;
use scraper::{Html, Selector};

use super::crawl;
use super::report::Report;
use super::visitor::Visitor;
use super::{Account, Ward};

pub(super) async fn examine(ward: &Ward<'_>, report: &mut Report) {
    let at = ward.arguments.public.as_ref();
    let mut visitor = match Visitor::new(&ward.site.public, at) {
        Ok(visitor) => visitor,
        Err(sentence) => return report.fail("public side", sentence, "correct --public or public_url"),
    };
    if !is_gate(ward, &mut visitor, report).await {
        return;
    }
    crawl::crawl(ward, &mut visitor, false, report).await;
    let Some(account) = ward.account else {
        let next = "--user USER reads the password from standard input and looks at what is shown then";
        return report.warn("signed-in pages", "not looked at", next);
    };
    if visitor.is_overheard(&ward.site.public, at) {
        return report.fail(
            "signed-in pages",
            "not looked at: the password would go over the network in clear",
            "name an https:// address with --public, or run this on the gate's own machine",
        );
    }
    if sign_in(ward, &mut visitor, account, report).await {
        crawl::crawl(ward, &mut visitor, true, report).await;
        let ended = visitor.send(Method::DELETE, &format!("{}/api/session", ward.site.prefix), None).await;
        if !ended.is_ok_and(|answer| answer.status == 200) {
            let next = format!("lychgate sessions revoke --user {}", account.user);
            report.warn("sign-out", "the gate did not confirm it", &next);
        }
    }
}

/// Whether it is the gate that answers at the public address, and knows its name.
async fn is_gate(ward: &Ward<'_>, visitor: &mut Visitor, report: &mut Report) -> bool {
    const CHECK: &str = "public side";
    let public = &ward.site.public;
    let path = format!("{}/health", ward.site.prefix);
    match visitor.get(&path).await {
        Err(why) => {
            let next = "see that `lychgate run` runs, that the public name leads to it, and that its certificate is good; --public URL names another way to it";
            report.fail(CHECK, format!("{public}: {why}"), next);
            false
        }
        Ok(answer) if answer.status == 200 && answer.body == b"ok\n" => {
            report.ok(CHECK, format!("the gate answers as {public}"));
            true
        }
        Ok(answer) if answer.status == 421 => {
            let next = "have the proxy before the gate pass the Host field unchanged, or correct public_url";
            report.fail(CHECK, format!("the gate answers, but not by the name {}", public.authority()), next);
            false
        }
        Ok(answer) => {
            let next = "see what listens there, and that it passes everything to the gate";
            report.fail(
                CHECK,
                format!("something answers {path} with {}, but not as the gate does", answer.status),
                next,
            );
            false
        }
    }
}

/// Signs in on the gate's page as a person does.
async fn sign_in(ward: &Ward<'_>, visitor: &mut Visitor, account: &Account, report: &mut Report) -> bool {
    const CHECK: &str = "sign-in at the gate";
    let path = format!("{}/login", ward.site.prefix);
    let page = match visitor.get(&path).await {
        Ok(page) => page,
        Err(why) => {
            report.fail(CHECK, why, "see the gate's log");
            return false;
        }
    };
    let Some(csrf) = csrf(&String::from_utf8_lossy(&page.body)) else {
        report.fail(CHECK, "the page has no form", "see whether [pages] templates left it out");
        return false;
    };
    let fields =
        [("csrf", csrf.as_str()), ("username", &account.user), ("password", account.password.expose())];
    match visitor.send(Method::POST, &path, Some(&fields)).await {
        Ok(answer) if answer.status == 303 => {
            report.ok(CHECK, "signed in");
            true
        }
        Ok(answer) => {
            let next = match answer.status.as_u16() {
                403 => "try the same by hand; the gate's log says more (refused, cross_site)",
                429 => "wait: too many attempts from this address or for this account",
                502 => "see the findings about the backend",
                _ => "see the gate's log",
            };
            report.fail(CHECK, format!("not signed in: the answer is {}", answer.status), next);
            false
        }
        Err(why) => {
            report.fail(CHECK, why, "see the gate's log");
            false
        }
    }
}

fn csrf(page: &str) -> Option<String> {
    let field = Selector::parse("form input[name=csrf]").ok()?;
    Html::parse_document(page).select(&field).next()?.attr("value").map(str::to_owned)
}
