//! Drives the real server from outside, as users, crashes, failing disks and attackers do. Knows no
//! other crate of ours, so that a mistake in the server can not hide in its tester.
//!
//! - [`server`]: a server process of one's own; [`wire`], [`web`] and [`h2`]: clients for it.
//! - One module for each kind of torture; the program `kidoku-torture` runs them.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a driver that can not go on has failed, and says where"
)]

pub mod certificates;
pub mod faults;
pub mod flood;
pub mod h2;
pub mod kill;
pub mod load;
pub mod options;
pub mod power;
pub mod random;
pub mod restart;
pub mod rot;
pub mod sandbox;
pub mod server;
pub mod shim;
pub mod web;
pub mod wire;
