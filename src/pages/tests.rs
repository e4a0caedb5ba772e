use super::*;

/// Writes every page to a folder, to be looked at.
#[test]
fn look() {
    let Some(out) = std::env::var_os("LOOK") else { return };
    let out = PathBuf::from(out);
    let pages = Pages::load(&Settings::default()).unwrap();
    fs::create_dir_all(out.join("assets")).unwrap();
    for name in ["gate.css", "gate.js", "mark.svg"] {
        let h = pages.assets.hashed(name).unwrap();
        fs::write(out.join("assets").join(h), pages.asset(h).unwrap().bytes).unwrap();
    }
    let sessions = [
        SessionLine {
            current: true,
            client: "192.0.2.14",
            age: Duration::from_secs(1500),
            idle: Duration::from_secs(1),
        },
        SessionLine {
            current: false,
            client: "2001:db8::7:21",
            age: Duration::from_secs(90000),
            idle: Duration::from_secs(9000),
        },
    ];
    for lang in ["en", "fr"] {
        let language = pages.language(Some(lang), None, None);
        for (i, page) in page::specimens("Jeanne d’Arc", &sessions).into_iter().enumerate() {
            let around = Around {
                site_name: Some("Example Intranet"),
                prefix: "/_gate",
                language: &language,
                request_id: "01JDQ8W2F3M7K",
                here: Some("/_gate/login?next=/a"),
                forgot_password: true,
            };
            let r = pages.render(page, &around);
            let body = String::from_utf8(r.body().to_vec()).unwrap();
            fs::write(out.join(format!("{lang}-{i:02}.html")), body).unwrap();
        }
    }
}
