//! One shape of error for every file of the shared area.

/// A line of a file that is not what it should be.
///
/// Shown as `file:line: found; expected what`, so that an editor can jump to it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {found}; expected {expected}")]
pub struct ParseError {
    /// The file as the caller named it.
    pub file: String,
    /// Line number, from 1.
    pub line: usize,
    /// What stands there.
    pub found: String,
    /// What should stand there, with an example where it helps.
    pub expected: String,
}

impl ParseError {
    pub(crate) fn new(
        file: &str,
        line: usize,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) -> Self {
        Self {
            file: file.to_owned(),
            line,
            found: found.into(),
            expected: expected.into(),
        }
    }
}

/// The lines of a management file that carry something, with their numbers from 1.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line.trim()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
}

/// Splits a line into exactly `N` words.
pub(crate) fn words<'a, const N: usize>(
    file: &str,
    number: usize,
    line: &'a str,
    expected: &str,
) -> Result<[&'a str; N], ParseError> {
    let found: Vec<&str> = line.split_whitespace().collect();
    let count = found.len();
    found.try_into().map_err(|_| {
        let noun = if count == 1 { "word" } else { "words" };
        ParseError::new(
            file,
            number,
            format!("{count} {noun} in {line:?}"),
            expected,
        )
    })
}
