//! How the ECS agent resolves digests: each branch of its flow.
#![cfg(feature = "ecs")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that fails panics"
)]

use std::convert::Infallible;
use std::time::Duration;

use longshore_puller::ecs::{
    Container, LocalImage, Outcome, PullBehavior, ResolveError, Settings, Skip, Source, resolve,
};
use longshore_puller::{Config, Endpoint, Registries};
use longshore_reference::Digest;
use longshore_tests::{Fault, On, Origin, Schema1, Signer, V1Image, V1Registry};

const IMAGE: &str = "registry.test/library/app:1";

fn registries(url: &str) -> Registries {
    let registries = Registries::new();
    let endpoint = Endpoint::parse(url).unwrap();
    let config = Config::new("registry.test", vec![endpoint]);
    registries.configure(config).unwrap();
    registries
}

fn quick() -> Settings {
    let mut settings = Settings::default();
    settings.retries.backoff.first = Duration::from_millis(1);
    settings.retries.backoff.longest = Duration::from_millis(1);
    settings
}

async fn ask(origin: &Origin, settings: &Settings) -> Result<Outcome, ResolveError<Infallible>> {
    let registries = registries(&origin.url());
    let connect = || async { Ok(registries) };
    let local = LocalImage::default();
    resolve(&Container::new(IMAGE), settings, &local, connect).await
}

/// For what must not reach the registry.
async fn offline(
    container: &Container<'_>,
    settings: &Settings,
    local: &LocalImage,
) -> Result<Outcome, ResolveError<Infallible>> {
    let connect = || async { panic!("the registry is not needed") };
    resolve(container, settings, local, connect).await
}

fn held(repo_digests: &[&str]) -> LocalImage {
    let digests = repo_digests.iter().map(ToString::to_string).collect();
    LocalImage {
        pulled: true,
        repo_digests: Some(Ok(digests)),
    }
}

#[tokio::test]
async fn containers_of_the_agent_need_no_digest() {
    let mut container = Container::new(IMAGE);
    container.internal = true;
    let outcome = offline(&container, &quick(), &LocalImage::default()).await;
    assert_eq!(outcome.unwrap(), Outcome::Skipped(Skip::Internal));
    let mut container = Container::new(IMAGE);
    container.service_connect = true;
    let outcome = offline(&container, &quick(), &LocalImage::default()).await;
    assert_eq!(outcome.unwrap(), Outcome::Skipped(Skip::ServiceConnect));
}

#[tokio::test]
async fn a_digest_in_the_reference_is_used() {
    let digest = Digest::sha256(b"manifest");
    let image = format!("registry.test/app@{digest}");
    let outcome = offline(&Container::new(&image), &quick(), &LocalImage::default()).await;
    let from = Source::Reference;
    assert_eq!(outcome.unwrap(), Outcome::Resolved { digest, from });
}

#[tokio::test]
async fn an_image_that_need_not_be_pulled_is_looked_at() {
    let digest = Digest::sha256(b"manifest");
    let container = Container::new(IMAGE);
    let ours = format!("registry.test/library/app@{digest}");
    for behavior in [PullBehavior::Once, PullBehavior::PreferCached] {
        let mut settings = quick();
        settings.behavior = behavior;
        let outcome = offline(&container, &settings, &held(&["other@x", &ours])).await;
        let from = Source::Held;
        assert_eq!(outcome.unwrap(), Outcome::Resolved { digest, from });
        let outcome = offline(&container, &settings, &held(&[])).await;
        assert_eq!(outcome.unwrap(), Outcome::Skipped(Skip::NoRepoDigests));
        let other = format!("registry.test/other@{digest}");
        let error = offline(&container, &settings, &held(&[&other])).await;
        assert_eq!(
            error.unwrap_err().to_string(),
            format!("failed to find a repo digest matching '{IMAGE}'")
        );
    }
    let mut settings = quick();
    settings.behavior = PullBehavior::Once;
    let local = LocalImage {
        pulled: true,
        repo_digests: Some(Err("inspect failed".to_owned())),
    };
    let error = offline(&container, &settings, &local).await.unwrap_err();
    assert_eq!(error.to_string(), "inspect failed");
    let local = LocalImage {
        pulled: true,
        repo_digests: None,
    };
    let error = offline(&container, &settings, &local).await.unwrap_err();
    assert_eq!(error.to_string(), format!("no such image: {IMAGE}"));
}

#[tokio::test]
async fn the_registry_is_asked_without_a_pull() {
    let origin = Origin::start().await;
    let image = origin.image("library/app", "1", &[1000]);
    let digest = Digest::parse(&image.digest).unwrap();
    let from = Source::Registry;
    let resolved = Outcome::Resolved { digest, from };
    for behavior in [
        PullBehavior::Default,
        PullBehavior::Always,
        PullBehavior::Once,
        PullBehavior::PreferCached,
    ] {
        let mut settings = quick();
        settings.behavior = behavior;
        settings.api_version = Some("1.44".to_owned());
        assert_eq!(ask(&origin, &settings).await.unwrap(), resolved);
    }
    let requests = origin.requests();
    assert_eq!(requests.len(), 4);
    assert!(requests.iter().all(|seen| seen.method == "HEAD"));
}

#[tokio::test]
async fn an_engine_that_may_use_v1_is_not_helped() {
    let mut settings = quick();
    settings.api_version = Some("1.30".to_owned());
    let container = Container::new(IMAGE);
    let outcome = offline(&container, &settings, &LocalImage::default()).await;
    assert_eq!(outcome.unwrap(), Outcome::Skipped(Skip::ApiVersion));
    let registry = V1Registry::standalone().await;
    registry.push("library/app", "1", &V1Image::new("app", &[1000]));
    let registries = registries(&registry.registry().url());
    let connect = || async { Ok::<_, Infallible>(registries) };
    let local = LocalImage::default();
    let error = resolve(&container, &quick(), &local, connect).await;
    let error = error.unwrap_err().to_string();
    assert_eq!(error, "a registry of protocol v1 has no digests");
}

#[tokio::test]
async fn digests_of_schema_1_are_left_out() {
    let origin = Origin::start().await;
    let schema1 = Schema1::of(&V1Image::new("app", &[1000]), "library/app", "1");
    let document = schema1.signed(&Signer::es256());
    schema1.push(&origin, document, &schema1.digest);
    let outcome = ask(&origin, &quick()).await;
    assert_eq!(outcome.unwrap(), Outcome::Skipped(Skip::Schema1));
}

#[tokio::test]
async fn credentials_that_cannot_be_had_are_an_error_of_their_own() {
    let connect = || async { Err("no such secret") };
    let local = LocalImage::default();
    let error = resolve(&Container::new(IMAGE), &quick(), &local, connect).await;
    assert!(matches!(
        error,
        Err(ResolveError::Credentials("no such secret"))
    ));
}

#[tokio::test]
async fn every_error_is_tried_again() {
    let origin = Origin::start().await;
    origin.image("library/app", "1", &[1000]);
    // By HEAD, then by GET for what it says.
    let denied = || Fault::error(403, "DENIED");
    origin.order(On::path("/manifests/"), (0..4).map(|_| denied()));
    ask(&origin, &quick()).await.unwrap();
    assert_eq!(origin.orders_left(), 0);
    origin.order_always(On::path("/manifests/"), denied());
    let mut settings = quick();
    settings.retries.tries = 3;
    origin.forget_requests();
    let error = ask(&origin, &settings).await.unwrap_err();
    assert!(
        matches!(error, ResolveError::CannotPullManifest(_)),
        "{error}"
    );
    assert_eq!(origin.count("HEAD", "/v2/library/app/manifests/1"), 3);
    let connect = || async { Ok::<_, Infallible>(Registries::new()) };
    let (container, local) = (Container::new("Not A Reference"), LocalImage::default());
    let error = resolve(&container, &quick(), &local, connect).await;
    let error = error.unwrap_err();
    assert!(
        matches!(error, ResolveError::CannotPullManifest(_)),
        "{error}"
    );
}

#[tokio::test]
async fn urls_of_layers_are_taken_out_of_errors() {
    let origin = Origin::start().await;
    let url = "https://prod-starport-layer-bucket.s3.amazonaws.com/x?secret";
    let body = format!(r#"{{"errors":[{{"code":"DENIED","message":"Get {url}"}}]}}"#);
    origin.order_always(On::path("/manifests/"), Fault::json(403, &body));
    let error = ask(&origin, &quick()).await.unwrap_err().to_string();
    assert!(!error.contains("starport"), "{error}");
    let shown = format!("REDACTED ECR URL related to {IMAGE}");
    assert!(error.contains(&shown), "{error}");
}

#[tokio::test]
async fn the_time_ends_all_tries() {
    let origin = Origin::start().await;
    origin.order_always(On::path("/manifests/"), Fault::HangBeforeHeaders);
    let mut settings = quick();
    settings.timeout = Duration::from_millis(300);
    let error = ask(&origin, &settings).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "Could not transition to MANIFEST_PULLED; timed out after waiting 300ms"
    );
}
