//! The handlers, one file per group of routes; the folder is the list of what can be asked.

mod channel;
mod check;
mod events;
mod export;
mod me;
mod message;
mod parts;
mod people;
mod read;
mod state;

use super::HttpState;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Every route with its description.
pub(super) fn all() -> OpenApiRouter<HttpState> {
    OpenApiRouter::default()
        .routes(routes!(channel::put, channel::delete))
        .routes(routes!(channel::join))
        .routes(routes!(channel::leave))
        .routes(routes!(channel::trim))
        .routes(routes!(message::post))
        .routes(routes!(message::edit, message::delete))
        .routes(routes!(message::receipts))
        .routes(routes!(read::ack))
        .routes(routes!(read::ack_bulk))
        .routes(routes!(read::ack_all))
        .routes(routes!(read::unread))
        .routes(routes!(state::state))
        .routes(routes!(state::badge))
        .routes(routes!(state::channel))
        .routes(routes!(state::explain))
        .routes(routes!(people::mute))
        .routes(routes!(people::follow))
        .routes(routes!(people::erase))
        .routes(routes!(people::roles))
        .routes(routes!(events::post, export::get))
        .routes(routes!(check::post))
        .routes(routes!(me::state))
        .routes(routes!(me::badge))
        .routes(routes!(me::ack))
        .routes(routes!(me::unread))
        .routes(routes!(me::mute))
        .routes(routes!(me::stream))
        .routes(routes!(me::ws))
}
