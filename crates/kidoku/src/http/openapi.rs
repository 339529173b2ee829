//! The OpenAPI document: made from the handlers, completed with what all of them share.

use super::caller::APP_HEADER;
use super::route;
use kidoku_core::limits::APP_BYTES_MAX;
use kidoku_proto::json::problem::Problem;
use kidoku_proto::json::schema;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::schema::SchemaType;
use utoipa::openapi::security::{
    Http, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    ComponentsBuilder, Content, InfoBuilder, LicenseBuilder, ObjectBuilder, OpenApi, Ref, RefOr,
    Required, ResponseBuilder, Schema, Type,
};
use utoipa::{PartialSchema, ToSchema};

const TAGS: [(&str, &str); 7] = [
    ("channels", "Channels: settings, members, retention"),
    ("messages", "Messages: posted, edited, deleted, read"),
    ("users", "Users: acks, read states, totals"),
    (
        "devices",
        "What a device may do for its own user, with the user's token",
    ),
    ("roles", "Roles: who holds them"),
    ("events", "Everything as a stream of JSON Lines"),
    ("operations", "For those who run the server"),
];

/// Name of the security scheme.
const BEARER: &str = "key";

/// Name of the security scheme of devices, and tag of their routes.
const DEVICE_TOKEN: &str = "token";
const DEVICES: &str = "devices";

/// What a stream of events is sent as.
const NDJSON: &str = "application/x-ndjson";

/// The OpenAPI 3.1 document as text, as `/openapi.json` serves it and as it is kept in
/// `docs/reference/openapi.json`.
pub fn openapi_json() -> String {
    to_json(&document())
}

/// The document as text that ends with a line end.
pub(super) fn to_json(document: &OpenApi) -> String {
    // Maps of strings and plain structures: there is nothing in it that can not be written.
    let mut text = document.to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

/// The whole document.
pub(super) fn document() -> OpenApi {
    let mut document = route::all().into_openapi();
    document.info = InfoBuilder::new()
        .title("Kidoku")
        .version("v1")
        .description(Some(
            "Read state for chat, forums and feeds: what has a user not read yet, who mentioned \
             them, who has read this. Message ids, eras and revisions are strings; a body may give \
             an id as a number too. Every error is `application/problem+json` with the same code \
             word as in RESP.",
        ))
        .license(Some(
            LicenseBuilder::new()
                .name("Apache-2.0")
                .identifier(Some("Apache-2.0"))
                .build(),
        ))
        .build();
    let tags = TAGS.iter().map(|(name, text)| {
        TagBuilder::new()
            .name(*name)
            .description(Some(*text))
            .build()
    });
    document.tags = Some(tags.collect());
    document.security = Some(vec![SecurityRequirement::new(BEARER, Vec::<String>::new())]);
    let mut schemas = vec![(Problem::name().into_owned(), Problem::schema())];
    Problem::schemas(&mut schemas);
    schemas.extend(schema::all());
    let components = document.components.take().unwrap_or_default();
    let mut components = ComponentsBuilder::from(components).schemas_from_iter(schemas);
    components = components.security_scheme(
        BEARER,
        SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)),
    );
    let token = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some("A device's token: `sub` is the user, `app` the app"))
        .build();
    components = components.security_scheme(DEVICE_TOKEN, SecurityScheme::Http(token));
    document.components = Some(components.build());
    for item in document.paths.paths.values_mut() {
        for (_, operation) in each(item) {
            complete(operation);
        }
    }
    document
}

/// (method, route) of every route, those outside of the document too.
pub(super) fn operations(document: &OpenApi) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for (route, item) in &document.paths.paths {
        let mut item = item.clone();
        all.extend(each(&mut item).map(|(method, _)| (method.to_owned(), route.clone())));
    }
    let others = ["/openapi.json", "/docs", "/docs/docs.js", "/docs/docs.css"];
    all.extend(others.map(|route| ("GET".to_owned(), route.to_owned())));
    all
}

fn each(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let PathItem {
        get,
        put,
        post,
        delete,
        patch,
        ..
    } = item;
    [
        ("GET", get),
        ("PUT", put),
        ("POST", post),
        ("DELETE", delete),
        ("PATCH", patch),
    ]
    .into_iter()
    .filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

/// Adds what every operation takes and may answer.
fn complete(operation: &mut Operation) {
    for parameter in operation.parameters.iter_mut().flatten() {
        if let RefOr::T(parameter) = parameter
            && let Some(schema) = &mut parameter.schema
        {
            never_null(schema);
        }
    }
    if let Some(RefOr::T(body)) = &mut operation.request_body
        && body.content.contains_key(NDJSON)
    {
        // No body at all is a stream of no events.
        body.required = Some(Required::False);
    }
    if operation.tags.iter().flatten().any(|tag| tag == DEVICES) {
        let token = SecurityRequirement::new(DEVICE_TOKEN, Vec::<String>::new());
        operation.security = Some(vec![token]);
    } else {
        let app = app_parameter();
        operation
            .parameters
            .get_or_insert_default()
            .push(app.into());
    }
    let problem = Content::new(Some(RefOr::Ref(Ref::from_schema_name(Problem::name()))));
    let refused = ResponseBuilder::new()
        .description("Refused; `code` says what to react to")
        .content("application/problem+json", problem)
        .build();
    operation
        .responses
        .responses
        .insert("default".to_owned(), RefOr::T(refused));
}

/// A parameter that may be absent is made from an `Option`, which a body could also give as null; in a
/// path, query or header there is no null.
fn never_null(schema: &mut RefOr<Schema>) {
    let is_null = |item: &RefOr<Schema>| matches!(item, RefOr::T(Schema::Object(object)) if object.schema_type == Type::Null.into());
    match schema {
        RefOr::T(Schema::OneOf(one_of)) => {
            one_of.items.retain(|item| !is_null(item));
            if let [only] = one_of.items.as_slice() {
                *schema = only.clone();
            }
        }
        RefOr::T(Schema::Object(object)) => {
            if let SchemaType::Array(types) = &mut object.schema_type {
                types.retain(|one| *one != Type::Null);
                if let [only] = types.as_slice() {
                    object.schema_type = SchemaType::Type(only.clone());
                }
            }
        }
        RefOr::T(_) | RefOr::Ref(_) => {}
    }
}

/// The header by which the root key chooses an app; a device has no choice.
fn app_parameter() -> Parameter {
    ParameterBuilder::new()
        .name(APP_HEADER)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some("The app, if the key is the root key"))
        .schema(Some(
            ObjectBuilder::new()
                .schema_type(Type::String)
                .max_length(Some(APP_BYTES_MAX))
                .pattern(Some("^[a-z0-9-]+$")),
        ))
        .build()
}
