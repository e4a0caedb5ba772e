//! The file of httpd's `htpasswd`: a name, a colon, a hash, a line each.

use super::Hash;

/// A line that can be taken over.
#[derive(Debug)]
pub struct Entry {
    /// The name.
    pub name: String,
    /// The hash, as it stands there.
    pub hash: Hash,
}

/// A line that cannot, and why; it names the user, never the hash.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong and what to do.
    pub what: String,
}

/// Reads a file. Empty lines and those that begin with `#` are passed over.
pub fn read(text: &str) -> (Vec<Entry>, Vec<Refused>) {
    let (mut entries, mut refused): (Vec<Entry>, Vec<Refused>) = (Vec::new(), Vec::new());
    for (index, line) in text.lines().enumerate() {
        let line_number = index + 1;
        if line.trim().is_empty() || line.starts_with('#') {
            continue;
        }
        match entry(line) {
            Ok(entry) => entries.push(entry),
            Err(what) => refused.push(Refused { line: line_number, what }),
        }
    }
    (entries, refused)
}

fn entry(line: &str) -> Result<Entry, String> {
    let (name, rest) = line.split_once(':').ok_or("is no `name:hash`")?;
    let hash = rest.split(':').next().unwrap_or_default().trim();
    match Hash::parse(hash) {
        Some(hash) => Ok(Entry { name: name.trim().to_owned(), hash }),
        None => Err(format!("`{}` {}", name.trim().escape_default(), why_not(hash))),
    }
}

fn why_not(hash: &str) -> &'static str {
    if hash.starts_with("{SHA}") || hash.starts_with("{SSHA}") {
        "has an unsalted or fast SHA-1 hash, which is as good as the password itself; add the user with `lychgate users add --no-password` and let them ask for a link"
    } else if hash.starts_with("$2") || hash.starts_with('$') {
        "has a hash of a kind that is not known, or a damaged one; known are $2y$ (bcrypt), $5$ and $6$ (sha-crypt), $apr1$ and $argon2id$"
    } else {
        "has a password in plain text, or an old crypt() hash; add the user with `lychgate users add`, and delete the file"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_taken_over_or_refused_with_what_to_do() {
        let text = "# staff\n\njane:$apr1$abcdefgh$uKwRFhVF7xIEaribjYms4.\nbob:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n\
                    eve:plain old secret\r\nnobody\nzoë:$5$abcdefgh$5trO9qTaLlR3B5F0SFWD25qek6wuypUgQsCdjQ8/IcC\r\nold:rOvxCTyDMhn1g\n";
        let (entries, refused) = read(text);
        assert_eq!(entries.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), ["jane", "zoë"]);
        let lines: Vec<usize> = refused.iter().map(|refused| refused.line).collect();
        assert_eq!(lines, [4, 5, 6, 8]);
        for (refused, says) in refused.iter().zip(["SHA-1", "plain text", "no `name:hash`", "crypt()"]) {
            assert!(refused.what.contains(says), "{}", refused.what);
            assert!(!refused.what.contains("W6ph5") && !refused.what.contains("secret"), "{}", refused.what);
        }
    }
}
