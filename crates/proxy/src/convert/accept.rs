//! Whether a client takes a legacy document as it is, by what its `Accept` says.

use http::HeaderMap;
use http::header::ACCEPT;
use longshore_manifest::MediaType;
use longshore_manifest::convert::Format;
use longshore_reference::Reference;

/// What a manifest must be converted into before this client can have it; `None` where it is served as it is.
///
/// An image of protocol v1 has no form of its own that could be served. A schema 1 manifest by tag is converted for
/// clients that name a newer type and not schema 1: `*/*` alone says nothing, and is served the original, as registries
/// do. By digest nothing but the original can be meant. Parameters and weights are not looked at, as in registries.
pub(crate) fn format_for(
    headers: &HeaderMap,
    reference: &Reference,
    media_type: &str,
) -> Option<Format> {
    let media_type = MediaType::from(media_type);
    let is_v1 = media_type == MediaType::V1Ancestry;
    if !(is_v1 || media_type.is_schema1()) || matches!(reference, Reference::Canonical(_)) {
        return None;
    }
    let takes = |wanted: &MediaType| accepted(headers).any(|given| given == wanted.as_str());
    let format = if takes(&MediaType::Schema2) {
        Some(Format::Schema2)
    } else if takes(&MediaType::OciManifest) {
        Some(Format::Oci)
    } else {
        None
    };
    if is_v1 {
        return Some(format.unwrap_or(Format::Schema2));
    }
    let takes_schema1 = takes(&MediaType::Schema1) || takes(&MediaType::Schema1Signed);
    format.filter(|_| !takes_schema1)
}

/// The types that a client names, on however many lines.
fn accepted(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(|given| given.split(';').next().unwrap_or_default().trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn who_gets_what() {
        const SCHEMA1: &str = "application/vnd.docker.distribution.manifest.v1+prettyjws";
        const PLAIN: &str = "application/vnd.docker.distribution.manifest.v1+json";
        const SCHEMA2: &str = "application/vnd.docker.distribution.manifest.v2+json";
        const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
        const V1: &str = "application/vnd.longshore.image.ancestry.v1+json";
        let tag = Reference::parse("registry.example/app:1").unwrap();
        let digest = format!("registry.example/app@sha256:{}", "ab".repeat(32));
        let digest = Reference::parse(&digest).unwrap();
        let both = format!("{OCI}, {SCHEMA2};q=0.5 ,*/*");
        let with_old = format!("{SCHEMA2},{SCHEMA1}");
        let with_plain = format!("{PLAIN}, {OCI}");
        for (reference, held, lines, expected) in [
            (&tag, SCHEMA1, &[&*both][..], Some(Format::Schema2)),
            (&tag, SCHEMA1, &[OCI, "*/*"], Some(Format::Oci)),
            (&tag, PLAIN, &[OCI, SCHEMA2], Some(Format::Schema2)),
            (&tag, SCHEMA1, &[&*with_old], None),
            (&tag, SCHEMA1, &[SCHEMA2, SCHEMA1], None),
            (&tag, SCHEMA1, &[&*with_plain], None),
            (&tag, SCHEMA1, &["*/*"], None),
            (&tag, SCHEMA1, &["application/json"], None),
            (&tag, SCHEMA1, &[], None),
            (&digest, SCHEMA1, &[SCHEMA2], None),
            (&tag, V1, &[], Some(Format::Schema2)),
            (&tag, V1, &[SCHEMA1], Some(Format::Schema2)),
            (&tag, V1, &[OCI], Some(Format::Oci)),
            (&tag, V1, &[&*both], Some(Format::Schema2)),
            (&tag, SCHEMA2, &[OCI], None),
            (&tag, OCI, &[SCHEMA2], None),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(ACCEPT, HeaderValue::from_str(line).unwrap());
            }
            assert_eq!(
                format_for(&headers, reference, held),
                expected,
                "{held} for {lines:?}"
            );
        }
    }
}
