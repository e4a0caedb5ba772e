//! One dialogue, live: `lychgate doctor --dialogue NAME`. Every step is shown; secrets are not.

use super::Ward;
use super::report::{Level, Report};
use crate::cms::{KeptCookies, Rehearsal, Scene, WhoAmI};

pub(super) async fn rehearse(ward: &Ward<'_>, report: &mut Report) {
    let (cms, asker) = (&ward.site.cms, &ward.asker);
    let nobody = KeptCookies::default();
    show(&cms.rehearse(Scene::WhoAmI(&nobody), asker).await, "nobody asks", report);
    match ward.account {
        None => report.warn(
            "sign_in",
            "not tried",
            "--user NAME signs in with the password from standard input, and out again",
        ),
        Some(account) => {
            let scene = Scene::SignIn { user: &account.user, password: &account.password };
            let signed_in = cms.rehearse(scene, asker).await;
            show(&signed_in, "", report);
            if signed_in.verdict == Some("ok") {
                show(&cms.rehearse(Scene::WhoAmI(&signed_in.cookies), asker).await, "", report);
                show(&cms.rehearse(Scene::SignOut(&signed_in.cookies), asker).await, "", report);
                if let WhoAmI::SignedIn { .. } = cms.who_am_i(&signed_in.cookies, asker).await {
                    let next =
                        "an old CMS only takes the cookie from the browser; that is why the gate keeps it";
                    report.warn("sign_out", "the CMS still takes the cookie that was signed out", next);
                }
            }
        }
    }
    match &ward.arguments.mailbox {
        None => report.warn("request_reset", "not tried", "--mailbox USER has a real reset mail sent"),
        Some(user) => show(&cms.rehearse(Scene::RequestReset(user), asker).await, "", report),
    }
}

fn show(rehearsal: &Rehearsal, note: &str, report: &mut Report) {
    let Some(verdict) = rehearsal.verdict else {
        return report.ok(rehearsal.operation, "the dialogue has no such operation: not_supported");
    };
    let (level, next) = match verdict {
        "unknown" => (
            Level::Fail,
            "no case of the dialogue fits what the last step brought; see [[cms]] in deploy/dialogues/README.md",
        ),
        "no_answer" => (Level::Fail, "see that the CMS runs, and its own log"),
        "reset_error" | "failed_to_connect" => (Level::Fail, "see the CMS's own log"),
        "refused" | "no_account" | "not_supported" => {
            (Level::Warn, "that is the CMS's own verdict; see whether it is the right one")
        }
        _ => (Level::Ok, ""),
    };
    let mut found = verdict.to_owned();
    for more in [
        Some(note.to_owned()).filter(|note| !note.is_empty()),
        rehearsal.user_id.as_ref().map(|id| format!("the account's id is {id}")),
        rehearsal.message.as_ref().map(|message| format!("the CMS says: {message}")),
    ]
    .into_iter()
    .flatten()
    {
        found.push_str(&format!(", {more}"));
    }
    let steps = rehearsal.steps.iter().enumerate().map(|(at, step)| {
        let case = step.case.as_deref().unwrap_or("no case");
        format!("step {}: {}: {}; {case} → {}", at + 1, step.request, step.evidence, step.outcome)
    });
    report.add(level, rehearsal.operation, found, next, steps.collect());
}
