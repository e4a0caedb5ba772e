//! The whole way of a person, in front of stand-ins for the oldest and the newest Plone.

mod support;

use support::gate::{Gate, HOST};
use support::journey::{Stage, walk};
use support::standin::StandIn;

async fn journey(standin: StandIn) {
    let gate = Gate::before(&standin.url());
    let address = standin.address().to_string();
    let link = || loop {
        if let Some(mail) = standin.mails().pop() {
            return mail.link;
        }
        std::thread::yield_now();
    };
    let stage = Stage {
        address: gate.address,
        host: HOST,
        internal: &address,
        user: "jdoe",
        password: "Secret1234!",
        linked: &format!("http://{HOST}"),
        link: &link,
    };
    walk(&stage).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_finds_the_whole_way_before_plone_4_3() {
    journey(StandIn::plone43()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_finds_the_whole_way_before_plone_6_0() {
    journey(StandIn::plone60()).await;
}
