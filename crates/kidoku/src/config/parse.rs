//! First step: from a file, the environment and flags to texts with keys and origins.

use super::error::{ConfigError, Origin};
use super::hidden::place;
use super::nearest::nearest;
use super::table::{APP_FIELDS, FIELDS, Kind, variable_of};
use std::fs;
use std::path::Path;
use toml::{Table, Value};

/// One value as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The full key: `http.listen`, `apps.chat.ids`. Known to exist.
    pub key: String,
    /// The value as text.
    pub text: String,
    /// Where it stands.
    pub origin: Origin,
}

/// What one source says; later layers win over earlier ones.
pub type Layer = Vec<Entry>;

/// A configuration file is small; a larger one is a slip (a log, a device).
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Reads a file.
///
/// # Errors
/// When it can not be read, is not TOML, or has a key that does not exist.
pub fn file(path: &Path) -> Result<Layer, ConfigError> {
    let unreadable = |reason: String| ConfigError::Unreadable {
        path: path.into(),
        reason,
    };
    let bytes = fs::metadata(path)
        .map_err(|error| unreadable(error.to_string()))?
        .len();
    if bytes > FILE_BYTES_MAX {
        return Err(unreadable(format!(
            "it has {bytes} bytes, at most {FILE_BYTES_MAX}"
        )));
    }
    let text = fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
    file_text(path, &text)
}

/// Reads the text of a file; `path` is for error messages.
///
/// # Errors
/// When it is not TOML or has a key that does not exist.
pub fn file_text(path: &Path, text: &str) -> Result<Layer, ConfigError> {
    let table: Table = text
        .parse()
        .map_err(|error: toml::de::Error| ConfigError::NotToml {
            path: path.into(),
            // Not the line itself, as the whole of the error has it: a secret may stand in it.
            reason: match error.span() {
                Some(span) => format!("{}: {}", place(text, span.start), error.message()),
                None => error.message().to_owned(),
            },
        })?;
    let mut layer = Layer::new();
    walk(&Origin::File(path.into()), "", &table, &mut layer)?;
    Ok(layer)
}

fn walk(
    origin: &Origin,
    prefix: &str,
    table: &Table,
    layer: &mut Layer,
) -> Result<(), ConfigError> {
    for (name, value) in table {
        let key = if prefix.is_empty() {
            name.clone()
        } else {
            format!("{prefix}.{name}")
        };
        match value {
            Value::Table(section) if is_section(&key) || !section.is_empty() => {
                walk(origin, &key, section, layer)?;
            }
            _ => {
                require_known(origin, &key, &key)?;
                let text = text_of(&key, value).ok_or_else(|| ConfigError::BadValue {
                    origin: origin.clone(),
                    key: key.clone(),
                    value: value.to_string(),
                    expected: expected_type(&key).to_owned(),
                })?;
                layer.push(Entry {
                    key,
                    text,
                    origin: origin.clone(),
                });
            }
        }
    }
    Ok(())
}

/// True for what may stand as an empty table.
fn is_section(key: &str) -> bool {
    match key.strip_prefix("apps") {
        Some(app) => !app.trim_start_matches('.').contains('.'),
        None => FIELDS.iter().any(|field| field.section() == key),
    }
}

/// The setting a key names; app settings are told by their last part.
fn is_known(key: &str) -> bool {
    match app_key(key) {
        Some((_, name)) => APP_FIELDS.iter().any(|field| field.name == name),
        None => FIELDS.iter().any(|field| field.key == key),
    }
}

/// Splits `apps.NAME.field`.
pub(crate) fn app_key(key: &str) -> Option<(&str, &str)> {
    key.strip_prefix("apps.")?.rsplit_once('.')
}

/// Checks that a key exists; `written` is how the caller spelt it.
fn require_known(origin: &Origin, key: &str, written: &str) -> Result<(), ConfigError> {
    if is_known(key) {
        return Ok(());
    }
    let app = app_key(key).map_or("NAME", |(app, _)| app);
    let mut known: Vec<String> = FIELDS.iter().map(|field| field.key.to_owned()).collect();
    known.extend(
        APP_FIELDS
            .iter()
            .map(|field| format!("apps.{app}.{}", field.name)),
    );
    let nearest = nearest(key, known.iter().map(String::as_str)).unwrap_or_default();
    let nearest = match origin {
        Origin::Environment(_) => variable_of(nearest),
        Origin::Default | Origin::File(_) | Origin::Flag(_) => nearest.to_owned(),
    };
    Err(ConfigError::UnknownKey {
        origin: origin.clone(),
        key: written.to_owned(),
        nearest,
    })
}

/// The value as text, if it is of a type that suits the key.
fn text_of(key: &str, value: &Value) -> Option<String> {
    let kind = FIELDS
        .iter()
        .find(|field| field.key == key)
        .map(|field| field.kind);
    let number = match kind {
        Some(Kind::Integer { .. } | Kind::Bytes { .. }) => true,
        Some(_) => false,
        None => key.ends_with(".snowflake_epoch_ms"),
    };
    match (value, kind) {
        (Value::Boolean(value), Some(Kind::Switch { .. })) => Some(value.to_string()),
        (_, Some(Kind::Switch { .. })) => None,
        (Value::String(text), _) => Some(text.clone()),
        (Value::Integer(value), _) if number => Some(value.to_string()),
        _ => None,
    }
}

fn expected_type(key: &str) -> &'static str {
    match FIELDS
        .iter()
        .find(|field| field.key == key)
        .map(|field| field.kind)
    {
        Some(Kind::Switch { .. }) => "true or false, without quotes",
        Some(Kind::Integer { .. } | Kind::Bytes { .. }) => "a whole number, or a text in quotes",
        _ => "a text in quotes",
    }
}

/// Makes a layer of variables of the environment. Of those that begin with `KIDOKU_`, each must be
/// a setting, but for the ones that `is_foreign` leaves out.
///
/// # Errors
/// When a variable names no setting.
pub fn variables(
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<Layer, ConfigError> {
    let mut layer = Layer::new();
    for (variable, text) in variables {
        let Some(rest) = variable.strip_prefix("KIDOKU_") else {
            continue;
        };
        if is_foreign(rest) {
            continue;
        }
        let key = rest.to_ascii_lowercase().replace("__", ".");
        let origin = Origin::Environment(variable.clone());
        require_known(&origin, &key, &variable)?;
        layer.push(Entry { key, text, origin });
    }
    Ok(layer)
}

/// True for `KIDOKU_` variables that are not settings of the server: those Kubernetes makes for a
/// service called kidoku (`KIDOKU_SERVICE_HOST`, `KIDOKU_PORT_7400_TCP_ADDR`), those of the
/// command line (`KIDOKU_CONFIG`, `KIDOKU_URL`, `KIDOKU_KEY`), and those of tests.
fn is_foreign(rest: &str) -> bool {
    let own = ["CONFIG", "URL", "KEY"];
    own.contains(&rest)
        || rest == "PORT"
        || ["SERVICE_", "PORT_", "TEST_"]
            .iter()
            .any(|prefix| rest.starts_with(prefix))
}

/// Makes a layer of flags given as (key, text); the keys come from the table, so they are known.
pub fn flags(given: impl IntoIterator<Item = (&'static str, String)>) -> Layer {
    let entry = |(key, text): (&'static str, String)| Entry {
        key: key.to_owned(),
        text,
        origin: Origin::Flag(key.replace(['.', '_'], "-")),
    };
    given.into_iter().map(entry).collect()
}
