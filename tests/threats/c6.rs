//! Guessing passwords and names.

use super::*;

#[tokio::test]
async fn every_spelling_of_a_name_uses_up_the_same_guesses() {
    let spellings = [
        "jdoe",
        "JDOE",
        " jdoe",
        "jdoe ",
        "\u{ff4a}doe",
        "jDoE",
        "\tjdoe",
        "jdoe\u{a0}",
        // What databases and CMSs take for the same: letters with marks, signs without width, markup.
        "jdo\u{e9}",
        "jd\u{200b}oe",
        "jd<i>oe",
        "jd%41oe",
        "jd&x;oe",
        "j_doe",
    ];
    let backend = StandIn::plone60();
    let limits = "[limits]\nsign_in = { per_client = \"1000/5m\", per_account = \"3/5m\" }\n";
    let gate = Gate::with(&backend.url(), limits);
    let mut statuses = Vec::new();
    for spelling in spellings {
        let mut browser = Browser::new(gate.address, HOST);
        statuses.push(browser.sign_in(spelling, "wrong").await.status.as_u16());
    }
    assert_eq!(statuses[..3], [403; 3], "{spellings:?}");
    assert_eq!(statuses[3..], [429; 11], "{spellings:?}");
}
