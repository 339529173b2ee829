//! What a session of PostgreSQL says first, and plain queries.

use super::message;

/// Version 3.0 of the protocol.
const VERSION: [u8; 4] = [0, 3, 0, 0];

/// Requests that open a session as a user in a database, and say some SQL; each with how its answer begins.
pub(crate) fn opening(user: &str, database: &str, sql: &str) -> Vec<(Vec<u8>, &'static [u8])> {
    let parameters = format!("user\0{user}\0database\0{database}\0\0");
    let text = [&VERSION, parameters.as_bytes()].concat();
    // The only message without a kind.
    let startup = message(0, &text).split_off(1);
    vec![(startup, b"R"), (query(sql), b"C")]
}

/// A query of one statement or several, as text.
pub(crate) fn query(sql: &str) -> Vec<u8> {
    message(b'Q', format!("{sql}\0").as_bytes())
}

/// The answer to a statement that was bound, carried out and committed, and that says this of itself.
pub(crate) fn completed(tag: &str) -> Vec<u8> {
    [
        message(b'2', b""),
        message(b'C', format!("{tag}\0").as_bytes()),
        message(b'Z', b"I"),
    ]
    .concat()
}

/// The answer to a statement with one row of one column.
pub(crate) fn one_value(value: &str, tag: &str) -> Vec<u8> {
    let length = u32::try_from(value.len()).unwrap_or(u32::MAX);
    let row = [
        &1_u16.to_be_bytes()[..],
        &length.to_be_bytes(),
        value.as_bytes(),
    ]
    .concat();
    [
        message(b'2', b""),
        message(b'D', &row),
        message(b'C', format!("{tag}\0").as_bytes()),
        message(b'Z', b"I"),
    ]
    .concat()
}

/// The rows in an answer, as text; what can not be read is no row.
pub(crate) fn rows(answer: &[u8]) -> Vec<Vec<String>> {
    let mut rest = answer;
    let mut rows = Vec::new();
    while let Some((kind, text)) = take_message(&mut rest) {
        if kind == b'D' {
            rows.extend(columns(text));
        }
    }
    rows
}

fn take_message<'a>(bytes: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let kind = *bytes.first()?;
    let length = take_length(bytes.get(1..)?)?;
    let text = bytes.get(5..length + 1)?;
    *bytes = bytes.get(length + 1..)?;
    Some((kind, text))
}

fn columns(mut row: &[u8]) -> Option<Vec<String>> {
    let count = u16::from_be_bytes(row.get(..2)?.try_into().ok()?);
    row = row.get(2..)?;
    let mut columns = Vec::new();
    for _ in 0..count {
        let length = take_length(row)?;
        let text = row.get(4..length + 4)?;
        columns.push(String::from_utf8_lossy(text).into_owned());
        row = row.get(length + 4..)?;
    }
    Some(columns)
}

fn take_length(bytes: &[u8]) -> Option<usize> {
    let length = u32::from_be_bytes(bytes.get(..4)?.try_into().ok()?);
    usize::try_from(length).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_opens_with_its_length_and_its_version() {
        let opening = opening("a", "b", "SELECT 1");
        let (startup, answer) = opening.first().unwrap();
        assert_eq!(startup, b"\0\0\0\x1b\0\x03\0\0user\0a\0database\0b\0\0");
        assert_eq!(answer, b"R");
    }

    #[test]
    fn rows_of_an_answer_are_read() {
        let answer = one_value("42", "SELECT 1");
        assert_eq!(rows(&answer), [["42"]]);
        assert_eq!(rows(&completed("INSERT 0 1")), Vec::<Vec<String>>::new());
    }
}
