//! The recount.

use crate::check::{CheckReport, check_app};
use crate::http::caller::Caller;
use crate::http::refused::Refused;
use axum::Json as Answered;

/// What a check found.
///
/// Describes [`CheckReport`] in the OpenAPI document; a test compares the two.
#[derive(utoipa::ToSchema)]
#[schema(as = CheckReport)]
#[expect(dead_code, reason = "only its description is used")]
pub(in crate::http) struct CheckReportShape {
    /// Users seen.
    users: u64,
    /// Channels seen.
    channels: u64,
    /// Read states of members, each compared.
    read_states: u64,
    /// Live messages seen.
    messages: u64,
    /// The first 100 read states whose facts and whose answer differ.
    #[schema(value_type = Vec<Object>)]
    mismatches: Vec<()>,
    /// All of them.
    mismatch_count: u64,
    /// Read states that changed while they were looked at, so that nothing can be said of them.
    unsettled: u64,
    /// The first 100 users and channels that can not be read, each with its row: left out.
    #[schema(value_type = Vec<Object>)]
    damaged: Vec<()>,
    /// All of them.
    damaged_count: u64,
    /// Read states of sound users that need something damaged: not compared.
    damaged_states: u64,
}

/// Recount everything
///
/// Counts every number of the app from its facts by brute force, without the index, and compares
/// what the server answers. Takes as long as the app is large; others are served meanwhile.
#[utoipa::path(
    post,
    path = "/v1/check",
    tag = "operations",
    operation_id = "check",
    responses((status = 200, description = "The report", body = CheckReportShape))
)]
pub(super) async fn post(caller: Caller) -> Result<Answered<CheckReport>, Refused> {
    Ok(Answered(
        check_app(&caller.engine, caller.app.clone(), &|_| ()).await?,
    ))
}
