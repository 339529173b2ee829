//! A public key out of a PEM file: `SubjectPublicKeyInfo` (RFC 5280), as `openssl pkey -pubout`
//! writes it. Only the three kinds that tokens may be signed with are known; whatever else is in
//! the file is refused at start, not when the first token comes.

use crate::der::{BIT_STRING, Der, NULL, OBJECT_ID, SEQUENCE};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, DecodingKey};

const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const END: &str = "-----END PUBLIC KEY-----";

const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
const ELLIPTIC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];

/// An uncompressed point of P-256: a tag and two coordinates.
const P256_POINT_BYTES: usize = 65;
const UNCOMPRESSED: u8 = 4;
const ED25519_KEY_BYTES: usize = 32;
const RSA_BITS_MIN: usize = 2_048;
const RSA_BITS_MAX: usize = 8_192;

/// Reads the key and says which algorithm it is for.
///
/// # Errors
/// Says what is wrong with the text.
pub(super) fn read(pem: &str) -> Result<(Algorithm, DecodingKey), String> {
    let der = unwrap_pem(pem)?;
    let damaged = || "the key in it is damaged".to_owned();
    let mut outer = Der::new(&der);
    let mut info = Der::new(outer.take(SEQUENCE).ok_or_else(damaged)?);
    let mut algorithm = Der::new(info.take(SEQUENCE).ok_or_else(damaged)?);
    let kind = algorithm.take(OBJECT_ID).ok_or_else(damaged)?;
    // The first byte says how many bits of the last one are not used; a key is whole bytes.
    let bits = info
        .take(BIT_STRING)
        .and_then(|bits| bits.strip_prefix(&[0]))
        .ok_or_else(damaged)?;
    if !outer.is_empty() || !info.is_empty() {
        return Err(damaged());
    }
    match kind {
        RSA => {
            let plain = algorithm.take(NULL).is_some() && algorithm.is_empty();
            let key = if plain { rsa(bits)? } else { None };
            Ok((Algorithm::RS256, key.ok_or_else(damaged)?))
        }
        ELLIPTIC => {
            if algorithm.take(OBJECT_ID) != Some(P256) || !algorithm.is_empty() {
                return Err("the curve of the key is not P-256".to_owned());
            }
            let whole = bits.len() == P256_POINT_BYTES && bits.first() == Some(&UNCOMPRESSED);
            let key = whole.then(|| DecodingKey::from_ec_der(bits));
            Ok((Algorithm::ES256, key.ok_or_else(damaged)?))
        }
        ED25519 => {
            let whole = bits.len() == ED25519_KEY_BYTES && algorithm.is_empty();
            let key = whole.then(|| DecodingKey::from_ed_der(bits));
            Ok((Algorithm::EdDSA, key.ok_or_else(damaged)?))
        }
        _ => Err("the key is neither P-256, nor Ed25519, nor RSA".to_owned()),
    }
}

fn unwrap_pem(pem: &str) -> Result<Vec<u8>, String> {
    let (_, rest) = pem
        .split_once(BEGIN)
        .ok_or_else(|| format!("there is no `{BEGIN}` in it"))?;
    let (body, rest) = rest
        .split_once(END)
        .ok_or_else(|| format!("there is no `{END}` in it"))?;
    if rest.contains("-----BEGIN") {
        return Err("there is more than one key in it".to_owned());
    }
    let body: String = body.split_whitespace().collect();
    STANDARD
        .decode(body)
        .map_err(|_| "it is not valid base64".to_owned())
}

/// `None` = damaged.
fn rsa(bits: &[u8]) -> Result<Option<DecodingKey>, String> {
    let mut outer = Der::new(bits);
    let Some(mut key) = outer.take(SEQUENCE).map(Der::new) else {
        return Ok(None);
    };
    let (Some(modulus), Some(exponent)) = (key.take_positive(), key.take_positive()) else {
        return Ok(None);
    };
    if !key.is_empty() || !outer.is_empty() {
        return Ok(None);
    }
    let unused = modulus.first().map_or(0, |byte| byte.leading_zeros());
    let size = (modulus.len() * 8).saturating_sub(usize::try_from(unused).unwrap_or_default());
    if !(RSA_BITS_MIN..=RSA_BITS_MAX).contains(&size) {
        return Err(format!(
            "the RSA key has {size} bits, {RSA_BITS_MIN} to {RSA_BITS_MAX} are allowed"
        ));
    }
    Ok(Some(DecodingKey::from_rsa_raw_components(
        modulus, exponent,
    )))
}
