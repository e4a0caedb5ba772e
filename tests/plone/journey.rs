//! The whole way of a person, before a Plone that can be told its public address, and before one that can't.

use crate::plone::{PASSWORD, Plone};
use crate::support::gate::{Gate, HOST};
use crate::support::journey::{Stage, walk};

async fn journey(plone: &Plone, gate: &Gate, user: &str, linked: &str) {
    let before = plone.mails_to(user).len();
    let stage = Stage {
        address: gate.address,
        host: HOST,
        internal: &plone.authority,
        user,
        password: PASSWORD,
        linked,
        link: &|| plone.mail_to(user, before + 1).link(),
    };
    walk(&stage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_finds_the_whole_way_through_virtual_hosting() {
    let plone = Plone::new();
    plone.set_password("jdoe", PASSWORD).await;
    journey(&plone, &plone.gate(), "jdoe", &format!("http://{HOST}")).await;
    plone.set_password("jdoe", PASSWORD).await;
}

/// The mail is Plone's own, with its own address in it: no proxy sees it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_finds_the_whole_way_through_rewriting_alone() {
    let plone = Plone::new();
    let user = plone.user(&["Member"]).await;
    journey(&plone, &plone.gate_with("virtual_hosting = \"rewrite\""), &user, &plone.url).await;
}
