//! A public key out of a PEM file: `SubjectPublicKeyInfo` (RFC 5280), as `openssl pkey -pubout`
//! writes it. Only the three kinds that tokens may be signed with are known; whatever else is in
//! the file is refused at start, not when the first token comes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, DecodingKey};

const BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
const END: &str = "-----END PUBLIC KEY-----";

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const NULL: u8 = 0x05;
const OBJECT_ID: u8 = 0x06;

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
    let mut outer = Der(&der);
    let mut info = Der(outer.take(SEQUENCE).ok_or_else(damaged)?);
    let mut algorithm = Der(info.take(SEQUENCE).ok_or_else(damaged)?);
    let kind = algorithm.take(OBJECT_ID).ok_or_else(damaged)?;
    // The first byte says how many bits of the last one are not used; a key is whole bytes.
    let bits = info
        .take(BIT_STRING)
        .and_then(|bits| bits.strip_prefix(&[0]))
        .ok_or_else(damaged)?;
    if !outer.0.is_empty() || !info.0.is_empty() {
        return Err(damaged());
    }
    match kind {
        RSA => {
            let plain = algorithm.take(NULL).is_some() && algorithm.0.is_empty();
            let key = if plain { rsa(bits)? } else { None };
            Ok((Algorithm::RS256, key.ok_or_else(damaged)?))
        }
        ELLIPTIC => {
            if algorithm.take(OBJECT_ID) != Some(P256) || !algorithm.0.is_empty() {
                return Err("the curve of the key is not P-256".to_owned());
            }
            let whole = bits.len() == P256_POINT_BYTES && bits.first() == Some(&UNCOMPRESSED);
            let key = whole.then(|| DecodingKey::from_ec_der(bits));
            Ok((Algorithm::ES256, key.ok_or_else(damaged)?))
        }
        ED25519 => {
            let whole = bits.len() == ED25519_KEY_BYTES && algorithm.0.is_empty();
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
    let mut outer = Der(bits);
    let Some(mut key) = outer.take(SEQUENCE).map(Der) else {
        return Ok(None);
    };
    let (Some(modulus), Some(exponent)) = (key.take_positive(), key.take_positive()) else {
        return Ok(None);
    };
    if !key.0.is_empty() || !outer.0.is_empty() {
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

/// What is left to read of some DER.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The content of the next value, if it has this tag.
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        let rest = self.0.strip_prefix(&[tag])?;
        let (&first, mut rest) = rest.split_first()?;
        let mut length = usize::from(first);
        if first >= 0x80 {
            // A key has at most a few thousand bytes, so a length has one or two.
            let count = usize::from(first & 0x7f);
            if !(1..=2).contains(&count) || rest.len() < count {
                return None;
            }
            let (digits, after) = rest.split_at(count);
            length = digits
                .iter()
                .fold(0, |length, digit| length << 8 | usize::from(*digit));
            rest = after;
        }
        let (content, after) = rest.split_at_checked(length)?;
        self.0 = after;
        Some(content)
    }

    /// The next value as a whole number above 0, without the zero that keeps it positive.
    fn take_positive(&mut self) -> Option<&'a [u8]> {
        let content = self.take(INTEGER)?;
        let digits = content.strip_prefix(&[0]).unwrap_or(content);
        let negative = content.first().is_some_and(|byte| byte & 0x80 != 0);
        (!negative && digits.first().is_some_and(|byte| *byte != 0)).then_some(digits)
    }
}
