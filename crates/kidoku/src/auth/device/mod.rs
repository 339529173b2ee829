//! Tokens of devices: JSON Web Tokens that name one user of one app, and are of use for `/v1/me`
//! only.
//!
//! An app has at most two keys: a secret that it shares with its backend (HS256), and a public key
//! of whoever signs its users in (ES256, EdDSA, RS256). Each key works with one algorithm, which
//! the key itself decides and never the token. The `app` claim chooses whose keys are tried, so a
//! key of one app can not make a token of another. All keys are read once, at start.

mod crypto;
mod keys;
mod public_key;
mod token;

#[cfg(test)]
mod tests;

pub use keys::{DeviceKeys, DeviceKeysError, create_device_key_if_missing, device_key_path};
pub use token::{DeviceGrant, TokenRefused, unverified};
