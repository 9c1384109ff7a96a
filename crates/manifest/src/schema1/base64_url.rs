//! base64url as libtrust reads it.

use base64::{
    Engine,
    alphabet::URL_SAFE,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use crate::Error;

/// Decodes base64url; new lines and spaces inside are ignored, padding does not matter.
pub(super) fn base64_url(part: &'static str, text: &str) -> Result<Vec<u8>, Error> {
    let kept = |byte: &u8| !matches!(byte, b'\n' | b'\r' | b' ');
    let text: Vec<u8> = text.bytes().filter(kept).collect();
    LENIENT.decode(text).map_err(|_| Error::Base64 { part })
}

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);
