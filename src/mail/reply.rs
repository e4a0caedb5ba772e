//! What one mail server answers another.

use std::fmt;

/// A reply: a code and lines of text (RFC 5321, section 4.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) code: u16,
    lines: Vec<String>,
}

impl Reply {
    /// One line.
    pub(super) fn new(code: u16, text: &str) -> Self {
        Self::of_lines(code, [text])
    }

    /// Several. What could break out of a line is taken away.
    pub(super) fn of_lines<'l>(code: u16, lines: impl IntoIterator<Item = &'l str>) -> Self {
        let lines =
            lines.into_iter().map(|line| line.chars().filter(|c| !c.is_control()).collect()).collect();
        Self { code, lines }
    }

    /// Not now; the sender may try again. So is everything the gate cannot be sure of: nothing is lost by it.
    pub(super) fn later(text: &str) -> Self {
        Self::new(451, text)
    }

    /// Whether it is 2xx.
    pub(super) fn is_ok(&self) -> bool {
        self.code / 100 == 2
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = self.lines.len().saturating_sub(1);
        for (index, line) in self.lines.iter().enumerate() {
            write!(f, "{}{}{line}\r\n", self.code, if index < last { '-' } else { ' ' })?;
        }
        Ok(())
    }
}
