//! The rules of names, ids and words as the OpenAPI document states them. They describe; what is
//! checked is checked where a name or id is made. The document counts characters where the rule
//! counts bytes, because a schema can not say it better; the text beside it does.

use kidoku_core::limits::{MESSAGE_ID_MAX, NAME_BYTES_MAX, PAGE_ENTRIES_MAX};
use utoipa::openapi::schema::{Object, ObjectBuilder, OneOfBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{KnownFormat, RefOr, SchemaFormat};
use utoipa::{PartialSchema, ToSchema};

/// Any characters but the control characters of Unicode.
const NO_CONTROLS: &str = r"^[^\u0000-\u001f\u007f-\u009f]+$";

/// A name of a user, channel, space or role.
#[derive(Debug)]
pub struct Name;

/// A message id where only text can stand: in a path or query.
#[derive(Debug)]
pub struct MessageId;

/// An era or revision.
#[derive(Debug)]
pub struct Revision;

/// How much of a channel is muted.
#[derive(Debug)]
pub struct MuteLevel;

/// What members see of who has read what.
#[derive(Debug)]
pub struct ReceiptsLevel;

/// How many entries a page has.
#[derive(Debug)]
pub struct PageLimit;

/// How a body is packed.
#[derive(Debug)]
pub struct Encoding;

/// A stream of events as a body. Any text is taken: what is wrong with a line stands in the answer.
#[derive(Debug)]
pub struct EventLines;

/// Text of 1 to 128 bytes without control characters.
fn text(description: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(NAME_BYTES_MAX))
        .pattern(Some(NO_CONTROLS))
        .description(Some(description))
}

fn one_of<const N: usize>(words: [&str; N], description: &str) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .enum_values(Some(words))
        .description(Some(description))
}

fn finished(builder: ObjectBuilder) -> RefOr<Schema> {
    Object::from(builder).into()
}

impl PartialSchema for Name {
    fn schema() -> RefOr<Schema> {
        finished(text(
            "A name: 1 to 128 bytes of UTF-8 without control characters.",
        ))
    }
}

impl PartialSchema for MessageId {
    fn schema() -> RefOr<Schema> {
        finished(text(
            "A message id: 1 to 9223372036854775807 in digits, or any string of 1 to 128 bytes \
             without control characters in an app whose ids are opaque.",
        ))
    }
}

impl PartialSchema for super::IdText {
    fn schema() -> RefOr<Schema> {
        let number = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
            .minimum(Some(1_u64))
            .maximum(Some(MESSAGE_ID_MAX));
        OneOfBuilder::new()
            .item(MessageId::schema())
            .item(finished(number))
            .description(Some(
                "A message id: 1 to 9223372036854775807 as a string or a number (without fraction \
                 or exponent), or any string of 1 to 128 bytes in an app whose ids are opaque.",
            ))
            .into()
    }
}

impl PartialSchema for Revision {
    fn schema() -> RefOr<Schema> {
        let digits = ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some("^[0-9]{1,20}$"))
            .description(Some("An era or revision that the server has given."));
        finished(digits)
    }
}

impl PartialSchema for MuteLevel {
    fn schema() -> RefOr<Schema> {
        finished(one_of(
            ["ALL", "MENTIONS", "NONE"],
            "How much is muted, in any case.",
        ))
    }
}

impl PartialSchema for ReceiptsLevel {
    fn schema() -> RefOr<Schema> {
        finished(one_of(
            ["OFF", "COUNT", "LIST"],
            "What members see of who has read what, in any case.",
        ))
    }
}

impl PartialSchema for PageLimit {
    fn schema() -> RefOr<Schema> {
        let limit = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(1_u64))
            .maximum(Some(PAGE_ENTRIES_MAX))
            .description(Some("How many entries a page has."));
        finished(limit)
    }
}

impl PartialSchema for Encoding {
    fn schema() -> RefOr<Schema> {
        finished(one_of(
            ["gzip", "zstd", "identity", ""],
            "How the body is packed; `identity` or nothing = not at all.",
        ))
    }
}

impl PartialSchema for EventLines {
    fn schema() -> RefOr<Schema> {
        let any = ObjectBuilder::new()
            .schema_type(SchemaType::AnyValue)
            .description(Some("JSON Lines: one operation a line."))
            .examples([concat!(
                r#"{"op":"join","channel":"room","user":"ada"}"#,
                "\n",
                r#"{"op":"message","channel":"room","id":"1","author":"bob","mentions":["ada"]}"#,
                "\n",
            )]);
        finished(any)
    }
}

impl ToSchema for Name {}
impl ToSchema for MessageId {}
impl ToSchema for super::IdText {}
impl ToSchema for Revision {}
impl ToSchema for MuteLevel {}
impl ToSchema for ReceiptsLevel {}
impl ToSchema for PageLimit {}
impl ToSchema for Encoding {}
impl ToSchema for EventLines {}

/// All of them by name: parameters refer to them, and a parameter brings no schema along.
pub fn all() -> Vec<(String, RefOr<Schema>)> {
    fn row<T: ToSchema>() -> (String, RefOr<Schema>) {
        (T::name().into_owned(), T::schema())
    }
    vec![
        row::<Name>(),
        row::<MessageId>(),
        row::<Revision>(),
        row::<MuteLevel>(),
        row::<ReceiptsLevel>(),
        row::<PageLimit>(),
        row::<Encoding>(),
        row::<EventLines>(),
    ]
}
