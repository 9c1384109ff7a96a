//! The arguments of `longshore pull`.

use longshore_puller::pull::Error as PullError;

use super::*;

#[test]
fn destinations() {
    let oci = |folder: &str, name: Option<&str>| Destination::Oci {
        folder: folder.into(),
        name: name.map(ToOwned::to_owned),
    };
    for (text, expected) in [
        ("oci:images", Some(oci("images", None))),
        ("oci:/a/b:v1", Some(oci("/a/b", Some("v1")))),
        ("oci:", None),
        ("images", None),
        ("dir:x", None),
    ] {
        assert_eq!(parse_destination(text).ok(), expected, "{text}");
    }
}

#[test]
fn exit_codes_tell_failures_apart() {
    use longshore_store::{Error as Stored, Refusal};
    let cause = || Arc::new(io::Error::other("x")) as longshore_store::Cause;
    let refused = |refusal| Failed::Proxy(Error::Store(Stored::Refused(refusal)));
    for (failed, code) in [
        (
            refused(Refusal::Gone {
                confirmed: true,
                cause: cause(),
            }),
            3,
        ),
        (refused(Refusal::Denied { cause: cause() }), 4),
        (refused(Refusal::Unreachable { cause: cause() }), 5),
        (Failed::Pull(PullError::NotSchema2), 1),
        (Failed::Unknown("x".into()), 1),
        (Failed::Interrupted, 130),
    ] {
        assert_eq!(failed.exit() as u8, code, "{failed}");
    }
}
