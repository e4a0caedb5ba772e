//! What a path means.

use super::*;

#[test]
fn the_spellings_of_the_advisories_lead_to_nothing_private() {
    let backend = Backend::answering(|_| ok("private"));
    let rules = "access.rules = [{ path = \"/public/**\", access = \"public\" }, { path = \"/status\", access = \"public\" }]";
    let gate = Gate::to_the_street(&backend.url(), rules);
    for (name, path) in [
        ("GHSA-7rh7: a public path in the query", "/api/private?path=/status"),
        ("GHSA-7rh7, encoded", "/api/private?path=%2Fstatus"),
        ("GHSA-pxq7: an encoded fragment", "/private%23/public/x"),
        ("CVE-2026-40912: an encoded dot", "/api%2e/admin/secret"),
        ("Traefik 3.7.3: dots behind a name", "/api../foo"),
        ("Caddy #7941", "/public/..%2fadmin/secret"),
        ("CVE-2021-32637: NUL", "/status%00/../private"),
        ("case of the rule", "/PUBLIC/x"),
        ("Unicode case folding: Kelvin", "/%E2%84%AApublic/x"),
        ("Unicode case folding: long s", "/%C5%BFtatus"),
        ("full width", "/%EF%BC%B0ublic/x"),
        ("a public name below a private one", "/private/public/x"),
        ("matrix parameters", "/private;/public/x"),
        ("matrix parameters in front", "/;/status"),
    ] {
        let answer = ask(gate.address, get(path, ""));
        assert!(matches!(answer.status(), 302 | 400), "{name}: {}", answer.line);
        assert_eq!(backend.take().len(), 0, "{name}");
    }
    for method in ["get", "Get", "gET", "head", "OPTIONs"] {
        let answer = ask(gate.address, get("/private", "").replacen("GET", method, 1));
        assert_eq!((answer.status(), backend.take().len()), (501, 0), "{method}");
    }
}
