//! Names of files in errors, where the file holds a secret: whoever puts the secret itself where its
//! file should be named must not find it in a log.

use std::fmt;
use std::path::Path;

/// What stands for something that may be a secret.
const HIDDEN: &str = "(hidden, no such file: it may be the secret itself)";

/// The name of a file that may hold a secret; hidden when it does not look like a name, because
/// neither such a file nor the directory it would be in is there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FileName<'a>(pub(crate) &'a Path);

impl fmt::Display for FileName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parent = self.0.parent().unwrap_or(Path::new(""));
        if self.0.exists() || (parent != Path::new("") && parent.is_dir()) {
            write!(f, "'{}'", self.0.display())
        } else {
            f.write_str(HIDDEN)
        }
    }
}

/// Where in a text something is, without the text.
pub(super) fn place(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    format!("line {line}, column {column}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_stands_where_its_file_should_is_hidden_and_a_slip_in_a_name_is_shown() {
        for secret in [
            "shared-Xq7vLr2nWb9kTz4mPd8sHf3gJc6yRa5e",
            "c2hhcmVk/Xq7v+Lr2nWb9k==",
            "-----BEGIN PRIVATE KEY-----\nMIGH/AgEA\n-----END PRIVATE KEY-----\n",
            "",
        ] {
            assert_eq!(FileName(Path::new(secret)).to_string(), HIDDEN);
        }
        let dir = std::env::temp_dir();
        for name in [dir.join("no-such.key"), dir] {
            let shown = format!("'{}'", name.display());
            assert_eq!(FileName(&name).to_string(), shown);
        }
    }

    #[test]
    fn a_place_is_told_by_line_and_column() {
        assert_eq!(place("", 0), "line 1, column 1");
        assert_eq!(place("a\nbc", 3), "line 2, column 2");
        assert_eq!(place("ä\nö = x", 3), "line 2, column 1");
        assert_eq!(place("a", 100), "line 1, column 2");
    }
}
