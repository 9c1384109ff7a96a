//! libpod's pull: every branch from a name to images, or to what is said when there are none.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "transports/fixture.rs"]
#[allow(dead_code, reason = "shared with the tests of transports")]
mod fixture;

use std::{error::Error as _, fs, path::Path};

use fixture::*;
use longshore_puller::{
    goal::{self, Pair, trying_to_pull},
    image_name::ImageName,
    short_names::{self, Lookup},
    transport::{
        Determined, PullError, Pulled, ShortNames, Step, determine, layout_name, of_image_name,
        pull,
    },
};
use longshore_reference::Digest;
use longshore_tests::{Fault, On, Origin};
use serde_json::json;
use tempfile::TempDir;

/// Pulls what a name stands for into a layout.
async fn run(
    name: &str,
    access: &Access,
    options: &Options,
    folder: &TempDir,
) -> (Result<Pulled, PullError>, String) {
    let determined = determine(name, access, &ShortNames::Search).await.unwrap();
    carry_out(&determined, access, options, folder).await
}

async fn carry_out(
    determined: &Determined,
    access: &Access,
    options: &Options,
    folder: &TempDir,
) -> (Result<Pulled, PullError>, String) {
    let mut shown = String::new();
    let layout = |pair: &Pair| {
        let name = at(folder, "oci", &format!("pulled:{}", layout_name(pair)));
        Ok(name.parse()?)
    };
    let pulled = pull(determined, access, options, layout, |step| {
        let text = match step {
            Step::Trying(pair) => trying_to_pull(&pair.image),
            Step::Failed(pair, _) if pair.source.path().is_none() => "Failed\n".to_owned(),
            _ => String::new(),
        };
        shown.push_str(&text);
    });
    let pulled = pulled.await;
    (pulled, shown)
}

fn names(pulled: &Pulled) -> Vec<&str> {
    pulled
        .images
        .iter()
        .map(|(name, _)| name.as_str())
        .collect()
}

/// The names in the layout that was pulled into.
fn layout_names(folder: &TempDir) -> Vec<String> {
    let index = fs::read(folder.path().join("pulled/index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
    let entries = index["manifests"].as_array().unwrap().iter();
    entries
        .map(|entry| {
            entry["annotations"]["org.opencontainers.image.ref.name"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect()
}

fn search(origins: &[&Origin]) -> String {
    let hosts: Vec<_> = origins
        .iter()
        .map(|origin| format!("{:?}", origin.host()))
        .collect();
    format!("unqualified-search-registries = [{}]", hosts.join(", "))
}

/// Writes a file of `docker save` of one image with these tags; returns its id.
fn saved(path: &Path, tags: &serde_json::Value) -> String {
    let tar = plain("layer");
    let diff_id = Digest::sha256(&tar).to_string();
    let config = json!({ "os": "linux", "rootfs": { "diff_ids": [diff_id] } }).to_string();
    let list = json!([{ "Config": "c", "RepoTags": tags, "Layers": ["l"] }]).to_string();
    let members = [
        ("c", config.as_bytes()),
        ("l", &tar),
        ("manifest.json", list.as_bytes()),
    ];
    fs::write(path, tar_of(&members)).unwrap();
    Digest::sha256(config.as_bytes()).hex().to_string()
}

#[tokio::test]
async fn a_registry_by_its_transport() {
    let origin = Origin::start().await;
    let made = push(&origin, "library/app", Some("1"), "amd64", OCI);
    let folder = folder();
    let name = format!("docker://{}/library/app:1", origin.host());
    let (pulled, shown) = run(&name, &access(""), &amd64(), &folder).await;
    let pulled = pulled.unwrap();
    assert_eq!(names(&pulled), [&*name]);
    assert_eq!(pulled.images[0].1.written.digest.to_string(), made.digest);
    assert_eq!(shown, format!("Trying to pull {name}..."));
    assert_eq!(
        layout_names(&folder),
        [format!("{}/library/app:1", origin.host())]
    );
}

#[tokio::test]
async fn a_full_name_without_a_transport() {
    let origin = Origin::start().await;
    push(&origin, "library/app", Some("latest"), "amd64", OCI);
    let folder = folder();
    let name = format!("{}/library/app", origin.host());
    let access = access("");
    let determined = determine(&name, &access, &ShortNames::Search)
        .await
        .unwrap();
    assert!(
        determined.not_a_transport.is_some(),
        "what was lost in libpod"
    );
    assert!(determined.goal.searched.is_none());
    let (pulled, shown) = carry_out(&determined, &access, &amd64(), &folder).await;
    assert_eq!(names(&pulled.unwrap()), [&*name]);
    assert_eq!(shown, format!("Trying to pull {name}..."));
    assert_eq!(layout_names(&folder), [format!("{name}:latest")]);
}

#[tokio::test]
async fn a_full_name_that_fails() {
    let origin = Origin::start().await;
    let folder = folder();
    let name = format!("{}/library/app:1", origin.host());
    let (pulled, shown) = run(&name, &access(""), &amd64(), &folder).await;
    let error = pulled.unwrap_err();
    assert_eq!(error.to_string(), "unable to pull image");
    assert!(
        error.source().unwrap().to_string().contains("not known to"),
        "{error:?}"
    );
    assert_eq!(shown, format!("Trying to pull {name}...Failed\n"));
}

/// The first search registry that has it ends the pull; what failed before is reported beside it.
#[tokio::test]
async fn a_short_name_at_the_second_search_registry() {
    let origins = [
        Origin::start().await,
        Origin::start().await,
        Origin::start().await,
    ];
    push(&origins[1], "app", Some("1"), "amd64", OCI);
    push(&origins[2], "app", Some("1"), "amd64", OCI);
    let folder = folder();
    let conf = search(&[&origins[0], &origins[1], &origins[2]]);
    let (pulled, shown) = run("app:1", &access(&conf), &amd64(), &folder).await;
    let pulled = pulled.unwrap();
    let [first, second] = [0, 1].map(|n: usize| format!("{}/app:1", origins[n].host()));
    assert_eq!(names(&pulled), [&*second]);
    assert_eq!(pulled.failed[0].0, first);
    assert_eq!(
        shown,
        format!("Trying to pull {first}...Failed\nTrying to pull {second}...")
    );
    assert_eq!(origins[2].requests().len(), 0, "not asked");
}

#[tokio::test]
async fn a_short_name_that_no_search_registry_has() {
    let origins = [Origin::start().await, Origin::start().await];
    origins[1].order_always(On::get("/manifests/"), Fault::error(403, "DENIED"));
    let folder = folder();
    let conf = search(&[&origins[0], &origins[1]]);
    let (pulled, shown) = run("app:1", &access(&conf), &amd64(), &folder).await;
    let error = pulled.unwrap_err().to_string();
    assert!(
        error.starts_with("2 errors occurred:\n\t* not known to "),
        "{error}"
    );
    assert!(error.contains("\n\t* denied by "), "{error}");
    assert_eq!(shown.matches("Failed\n").count(), 2);
}

#[tokio::test]
async fn a_short_name_and_no_search_registries() {
    let (pulled, shown) = run("app:1", &access(""), &amd64(), &folder()).await;
    assert_eq!(
        pulled.unwrap_err().to_string(),
        "image name provided is a short name and no search registries are defined in the registries config file.",
    );
    assert_eq!(shown, "");
}

#[tokio::test]
async fn names_that_are_none() {
    let short_names = ShortNames::Search;
    for name in ["", "UPPER", "a b", "example.com/UPPER", "docker://"] {
        let error = determine(name, &access(""), &short_names)
            .await
            .unwrap_err();
        assert!(matches!(error, Error::Goal { .. }), "{name}: {error:?}");
    }
    // A transport that is not supported is a name with a tag too; why it was not taken for the former is kept.
    let determined = determine("ostree:x", &access(""), &short_names)
        .await
        .unwrap();
    let error = determined.not_a_transport.unwrap().to_string();
    assert!(
        error.contains("transport ostree is not supported"),
        "{error}"
    );
    // A search registry under which the name is no reference.
    let conf = "unqualified-search-registries = [\"registry.test\"]";
    let error = determine("UPPER/app", &access(conf), &short_names)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Goal { .. }), "{error:?}");
}

/// By aliases and search registries, as libpod does today: every error is listed.
#[tokio::test]
async fn aliases_and_candidates() {
    let origins = [Origin::start().await, Origin::start().await];
    push(&origins[0], "real/app", Some("1"), "amd64", OCI);
    let folder = folder();
    let conf = format!(
        "{}\n[aliases]\n\"app\" = \"{}/real/app\"\n",
        search(&[&origins[0], &origins[1]]),
        origins[0].host()
    );
    let access = access(&conf);
    let lookup = ShortNames::Resolve(Lookup::new(access.conf()));
    let determined = determine("app:1", &access, &lookup).await.unwrap();
    let description = determined.description.as_deref().unwrap();
    assert_eq!(
        description,
        "Resolved \"app\" as an alias (registries.conf)"
    );
    let (pulled, _) = carry_out(&determined, &access, &amd64(), &folder).await;
    assert_eq!(
        names(&pulled.unwrap()),
        [format!("{}/real/app:1", origins[0].host())]
    );

    let determined = determine("other:1", &access, &lookup).await.unwrap();
    let (pulled, _) = carry_out(&determined, &access, &amd64(), &folder).await;
    let error = pulled.unwrap_err().to_string();
    assert!(
        error.starts_with("2 errors occurred while pulling:\n * "),
        "{error}"
    );

    let empty = fixture::access("");
    let lookup = ShortNames::Resolve(Lookup::new(empty.conf()));
    let error = determine("other:1", &empty, &lookup).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::ShortName(short_names::Error::NoSearchRegistries { .. })
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_blocked_registry() {
    let conf = "[[registry]]\nlocation = \"blocked.test\"\nblocked = true\n";
    let (pulled, shown) = run("blocked.test/app:1", &access(conf), &amd64(), &folder()).await;
    let error = pulled.unwrap_err();
    let mut causes = std::iter::successors(error.source(), |&error| error.source());
    assert!(
        causes.any(|cause| cause.to_string().contains("is blocked in registries.conf")),
        "{error:?}"
    );
    assert_eq!(shown, "Trying to pull blocked.test/app:1...Failed\n");
}

#[tokio::test]
async fn every_tag_of_a_docker_archive() {
    let folder = folder();
    saved(
        &folder.path().join("a.tar"),
        &json!(["app:1", "quay.io/app:2"]),
    );
    let name = at(&folder, "docker-archive", "a.tar");
    let (pulled, shown) = run(&name, &access(""), &amd64(), &folder).await;
    let pulled = pulled.unwrap();
    assert_eq!(names(&pulled), ["localhost/app:1", "quay.io/app:2"]);
    assert_eq!(shown, "", "only registries are tried aloud");
    assert_eq!(layout_names(&folder), ["localhost/app:1", "quay.io/app:2"]);
}

/// With all pairs to copy, one success hides no error.
#[tokio::test]
async fn some_tags_of_a_docker_archive() {
    let folder = folder();
    saved(&folder.path().join("a.tar"), &json!(["app:1", "app:2"]));
    let name = at(&folder, "docker-archive", "a.tar");
    let goal = of_image_name(&name.parse().unwrap(), &name).await.unwrap();
    assert!(goal.all);
    let access = access("");
    let determined = determine(&name, &access, &ShortNames::Search)
        .await
        .unwrap();
    let only_two = |pair: &Pair| -> Result<ImageName, Error> {
        match pair.image.ends_with(":2") {
            true => Ok(at(&folder, "oci", "pulled:2").parse()?),
            false => Err(Error::Unsupported("not this one")),
        }
    };
    let pulled = pull(&determined, &access, &amd64(), only_two, |_| ())
        .await
        .unwrap();
    assert_eq!(names(&pulled), ["localhost/app:2"]);
    assert_eq!(pulled.failed[0].0, "localhost/app:1");
    // And with none, the first error is shown.
    let none = |_: &Pair| Err(Error::Unsupported("none of them"));
    let error = pull(&determined, &access, &amd64(), none, |_| ())
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "unable to pull image");
    assert_eq!(error.source().unwrap().to_string(), "none of them");
}

#[tokio::test]
async fn a_docker_archive_without_tags_gets_its_id() {
    let folder = folder();
    for tags in [json!([]), json!(null)] {
        let id = saved(&folder.path().join("a.tar"), &tags);
        let name = at(&folder, "docker-archive", "a.tar");
        let (pulled, _) = run(&name, &access(""), &amd64(), &folder).await;
        assert_eq!(names(&pulled.unwrap()), [format!("@{id}")]);
        assert_eq!(layout_names(&folder), [id]);
    }
}

#[tokio::test]
async fn a_docker_archive_that_cannot_be_read() {
    let folder = folder();
    let short_names = ShortNames::Search;
    let name = at(&folder, "docker-archive", "a.tar");
    let error = determine(&name, &access(""), &short_names)
        .await
        .unwrap_err();
    assert!(error.is_not_found(), "{error:?}");
    fs::write(folder.path().join("a.tar"), tar_of(&[("x", b"")])).unwrap();
    let error = determine(&name, &access(""), &short_names)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("no manifest.json"), "{error}");
    fs::write(
        folder.path().join("a.tar"),
        tar_of(&[("manifest.json", b"[]")]),
    )
    .unwrap();
    let error = determine(&name, &access(""), &short_names)
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("expected 1 item, got 0"),
        "{error}"
    );
    saved(&folder.path().join("a.tar"), &json!(["NO NAME"]));
    let error = determine(&name, &access(""), &short_names)
        .await
        .unwrap_err();
    assert!(
        matches!(
            &error,
            Error::Goal {
                source: goal::Error::Destination { .. },
                ..
            }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn an_oci_archive_by_its_name_or_its_id() {
    let origin = Origin::start().await;
    let made = push(&origin, "library/app", Some("1"), "amd64", OCI);
    let registry = format!("docker://{}/library/app:1", origin.host());
    let folder = folder();
    let id = format!("@{}", Digest::sha256(&made.config).hex());
    for (file, name, expected) in [
        ("named.tar", ":quay.io/app:2", "quay.io/app:2"),
        ("short.tar", ":app", "localhost/app"),
        ("unnamed.tar", "", &*id),
    ] {
        copied(
            &registry,
            &at(&folder, "oci-archive", &format!("{file}{name}")),
            &amd64(),
        )
        .await
        .unwrap();
        let archive = at(&folder, "oci-archive", file);
        let (pulled, _) = run(&archive, &access(""), &amd64(), &folder).await;
        assert_eq!(names(&pulled.unwrap()), [expected]);
    }
    let missing = at(&folder, "oci-archive", "missing.tar");
    let error = determine(&missing, &access(""), &ShortNames::Search)
        .await
        .unwrap_err();
    assert!(error.is_not_found(), "{error:?}");
}

#[tokio::test]
async fn a_folder_by_its_path() {
    let origin = Origin::start().await;
    push(&origin, "library/app", Some("1"), "amd64", OCI);
    let registry = format!("docker://{}/library/app:1", origin.host());
    // Its path has to be a name that an image can have.
    let mut builder = tempfile::Builder::new();
    let pid = format!("longshore-{}", std::process::id());
    let folder = builder.prefix(&pid).rand_bytes(0).tempdir().unwrap();
    let dir = at(&folder, "dir", "image");
    copied(&registry, &dir, &amd64()).await.unwrap();
    let (pulled, shown) = run(&dir, &access(""), &amd64(), &folder).await;
    let path = folder.path().join("image");
    assert_eq!(
        names(&pulled.unwrap()),
        [format!("localhost{}", path.display())]
    );
    assert_eq!(shown, "");
    // A relative path is a name of its own.
    let goal = of_image_name(&ImageName::Dir("some/image".to_owned()), "dir:some/image").await;
    assert_eq!(goal.unwrap().pairs[0].image, "localhost/some/image");
}

#[tokio::test]
async fn a_layout_gets_the_name_it_was_asked_for_by() {
    let error = determine("oci:some/layout:v1", &access(""), &ShortNames::Search).await;
    // What libpod does with it: "oci:some/layout:v1" is no name an image can have.
    assert!(matches!(error, Err(Error::Goal { .. })), "{error:?}");
}

/// A label that is missing, or cannot be looked for, ends the pull: later registries are not asked.
#[tokio::test]
async fn a_label_ends_the_pull() {
    let origins = [Origin::start().await, Origin::start().await];
    push(&origins[0], "app", Some("1"), "amd64", OCI);
    push(&origins[1], "app", Some("1"), "amd64", OCI);
    let access = access(&search(&[&origins[0], &origins[1]]));
    let folder = folder();
    let mut options = amd64();
    options.label = Some("maintainer".to_owned());
    let (pulled, _) = run("app:1", &access, &options, &folder).await;
    assert_eq!(
        names(&pulled.unwrap()),
        [format!("{}/app:1", origins[0].host())]
    );

    options.label = Some("vendor".to_owned());
    let (pulled, shown) = run("app:1", &access, &options, &folder).await;
    let error = pulled.unwrap_err();
    assert!(
        matches!(error, PullError::Ended(Error::NoLabel { .. })),
        "{error:?}"
    );
    assert_eq!(
        error.to_string(),
        format!("{}/app:1 has no label vendor", origins[0].host())
    );
    assert_eq!(
        shown,
        format!("Trying to pull {}/app:1...", origins[0].host())
    );

    origins[0].forget("app", "1");
    let (pulled, _) = run("app:1", &access, &options, &folder).await;
    assert!(
        matches!(pulled, Err(PullError::Ended(Error::Registry(_)))),
        "{pulled:?}"
    );
    assert_eq!(origins[1].requests().len(), 0);
}
