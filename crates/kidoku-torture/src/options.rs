//! The options of a torture: `--name value`, each with a default.

use std::str::FromStr;

/// Options as they were given; each must be asked for, or it was a slip.
#[derive(Debug)]
pub struct Options {
    given: Vec<(String, String)>,
}

impl Options {
    /// Reads `--name value` pairs.
    ///
    /// # Errors
    /// What is not of that form.
    pub fn parse(args: &[String]) -> Result<Self, String> {
        let mut given = Vec::new();
        for pair in args.chunks(2) {
            match pair {
                [name, value] if name.starts_with("--") => {
                    given.push((name.trim_start_matches('-').to_owned(), value.clone()));
                }
                other => return Err(format!("not `--option value`: {}", other.join(" "))),
            }
        }
        Ok(Self { given })
    }

    /// The value of an option, or its default.
    ///
    /// # Errors
    /// A value that can not be read.
    pub fn take<T: FromStr>(&mut self, name: &str, default: T) -> Result<T, String> {
        let Some(at) = self.given.iter().position(|(given, _)| given == name) else {
            return Ok(default);
        };
        let (_, value) = self.given.swap_remove(at);
        value
            .parse()
            .map_err(|_| format!("--{name}: can not read {value:?}"))
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// An option nobody asked for.
    pub fn finish(self) -> Result<(), String> {
        match self.given.first() {
            None => Ok(()),
            Some((name, _)) => Err(format!("no option --{name} here")),
        }
    }
}
