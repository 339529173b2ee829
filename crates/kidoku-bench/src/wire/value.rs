//! RESP replies as values, for what is looked at once and not measured.

/// A reply of RESP2, or of RESP3 as far as servers use it without being asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Null,
    Number(i64),
    Text(String),
    Error(String),
    Array(Vec<Value>),
}

impl Value {
    /// All replies in some bytes.
    ///
    /// # Errors
    /// What is no reply, or not all of one.
    pub(crate) fn all(mut bytes: &[u8]) -> Result<Vec<Self>, String> {
        let mut values = Vec::new();
        while !bytes.is_empty() {
            values.push(Self::first(&mut bytes)?);
        }
        Ok(values)
    }

    fn first(bytes: &mut &[u8]) -> Result<Self, String> {
        let line = line(bytes)?;
        let mut chars = line.chars();
        let kind = chars.next();
        let text = chars.as_str();
        let number = || {
            text.parse::<i64>()
                .map_err(|error| format!("{line:?}: {error}"))
        };
        match kind {
            Some(':') => Ok(Self::Number(number()?)),
            Some('+') => Ok(Self::Text(text.to_owned())),
            Some('-') => Ok(Self::Error(text.to_owned())),
            Some('$') => match usize::try_from(number()?) {
                Ok(length) => bulk(bytes, length).map(Self::Text),
                Err(_) => Ok(Self::Null),
            },
            Some('*') => match usize::try_from(number()?) {
                Ok(count) => (0..count)
                    .map(|_| Self::first(bytes))
                    .collect::<Result<_, _>>()
                    .map(Self::Array),
                Err(_) => Ok(Self::Null),
            },
            Some(_) | None => Err(format!("{line:?} begins no reply of RESP2")),
        }
    }

    /// The number that this is, or that stands in this text.
    pub(crate) fn number(&self) -> Option<i64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.parse().ok(),
            Self::Null | Self::Error(_) | Self::Array(_) => None,
        }
    }

    /// The same when it is not below zero.
    pub(crate) fn unsigned(&self) -> Option<u64> {
        self.number().and_then(|number| u64::try_from(number).ok())
    }

    pub(crate) fn array(&self) -> Option<&[Self]> {
        match self {
            Self::Array(values) => Some(values),
            Self::Null | Self::Number(_) | Self::Text(_) | Self::Error(_) => None,
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Null | Self::Number(_) | Self::Error(_) | Self::Array(_) => None,
        }
    }

    /// What stands behind a name in a flat map.
    pub(crate) fn field(&self, name: &str) -> Option<&Self> {
        let mut pairs = self.array()?.chunks_exact(2);
        pairs.find_map(|pair| match pair {
            [key, value] if key.text() == Some(name) => Some(value),
            _ => None,
        })
    }
}

fn line(bytes: &mut &[u8]) -> Result<String, String> {
    let end = bytes.windows(2).position(|two| two == b"\r\n");
    let end = end.ok_or("a reply is cut off")?;
    let line = String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned();
    *bytes = bytes.get(end + 2..).unwrap_or_default();
    Ok(line)
}

fn bulk(bytes: &mut &[u8], length: usize) -> Result<String, String> {
    let text = bytes.get(..length).ok_or("a reply is cut off")?;
    let text = String::from_utf8_lossy(text).into_owned();
    *bytes = bytes.get(length + 2..).ok_or("a reply is cut off")?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_read_one_after_the_other_and_into_each_other() {
        let text = ":-7\r\n$3\r\na\nb\r\n*3\r\n+OK\r\n$-1\r\n*-1\r\n-ERR x\r\n";
        let values = Value::all(text.as_bytes()).unwrap();
        let expected = [
            Value::Number(-7),
            Value::Text("a\nb".to_owned()),
            Value::Array(vec![Value::Text("OK".to_owned()), Value::Null, Value::Null]),
            Value::Error("ERR x".to_owned()),
        ];
        assert_eq!(values, expected);
        for cut in 1..text.len() {
            // Whatever is cut off is an error or a shorter list, and never a different value.
            if let Ok(found) = Value::all(text.as_bytes().get(..cut).unwrap()) {
                assert!(expected.starts_with(&found));
            }
        }
    }

    #[test]
    fn fields_of_a_flat_map_are_found_by_name() {
        let map = Value::all(b"*4\r\n+a\r\n+b\r\n+b\r\n:2\r\n").unwrap();
        let map = map.first().unwrap();
        assert_eq!(map.field("b").and_then(Value::number), Some(2));
        assert_eq!(map.field("c"), None);
    }
}
