//! Configurations and ids as `image/v1` of moby makes them.

use longshore_manifest::{DiffId, Error, History, v1};
use longshore_reference::Digest;
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    name: String,
    v1: String,
    config: Option<String>,
    config_without_layers: Option<String>,
    id: Option<String>,
    create_id: Option<String>,
    create_id_with_parent: Option<String>,
    v1_of_config: Option<String>,
    refused: Option<String>,
}

fn cases() -> Vec<Case> {
    let all = super::cases::<Case>(include_str!("../data/moby.json"));
    all.into_iter().filter(|case| case.name != NULL).collect()
}

/// Go reads `null` as an object without keys; here it is no image.
const NULL: &str = "null";

fn config(case: &Case) -> Result<String, Error> {
    let v1_json = case.v1.as_bytes();
    let history = [
        History::from_v1(v1_json, false)?,
        History::from_v1(v1_json, true)?,
    ];
    v1::image_config(v1_json, &[DiffId::new(Digest::sha256(b"layer"))], &history)
}

#[test]
fn configurations_and_ids() {
    for case in cases().iter().filter(|case| case.refused.is_none()) {
        let name = &case.name;
        let config = config(case).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(Some(&config), case.config.as_ref(), "{name}");
        let id = Digest::sha256(config.as_bytes()).to_string();
        assert_eq!(Some(id), case.id, "{name}");
        if let Some(expected) = &case.config_without_layers {
            let plain = v1::image_config(case.v1.as_bytes(), &[], &[]).unwrap();
            assert_eq!(&plain, expected, "{name}");
        }
    }
}

#[test]
fn ids_for_old_clients() {
    let chain_id = Digest::sha256(b"chain");
    let parent = Digest::sha256(b"parent");
    for case in cases().iter().filter(|case| case.refused.is_none()) {
        for (parent, expected) in [
            (None, &case.create_id),
            (Some(&parent), &case.create_id_with_parent),
        ] {
            let id = v1::create_id(case.v1.as_bytes(), &chain_id, parent);
            let id = id.unwrap_or_else(|error| panic!("{}: {error}", case.name));
            assert_eq!(Some(id.to_string()), *expected, "{}", case.name);
        }
    }
}

#[test]
fn the_way_back() {
    let with = |case: &Case| Some((case.config.clone()?, case.v1_of_config.clone()?));
    let pairs: Vec<_> = cases().iter().filter_map(with).collect();
    assert!(pairs.len() > 10);
    for (config, expected) in pairs {
        // moby drops what no v1 image has; distribution, which is followed here, keeps it.
        let expected = if config.contains("\"os.version\":\"10.0\"") {
            expected.replace(r#""parent":"#, r#""os.version":"10.0","parent":"#)
        } else {
            expected
        };
        let back = v1::from_config(config.as_bytes(), "the id", "the parent", true);
        assert_eq!(back.unwrap(), expected);
    }
}

#[test]
fn what_moby_refuses_is_refused() {
    let refused: Vec<_> = cases()
        .into_iter()
        .filter(|case| case.refused.is_some())
        .collect();
    assert!(refused.len() > 20);
    for case in refused {
        let made = config(&case);
        assert!(made.is_err(), "{}: {made:?}", case.name);
    }
}
