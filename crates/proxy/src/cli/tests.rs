use std::io;
use std::path::PathBuf;

use clap::CommandFactory;

use super::*;
use crate::config::StoreUrl;

fn parse(arguments: &[&str]) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(std::iter::once(&"longshore").chain(arguments))
}

#[test]
fn the_definition_holds() {
    Cli::command().debug_assert();
}

#[test]
fn serve_takes_everything() {
    let cli = parse(&[
        "serve",
        "--config",
        "/a.toml",
        "--listen",
        "0.0.0.0:5000",
        "--store",
        "file:///data",
        "--upstream",
        "up.test=http://127.0.0.1:5100",
        "--upstream",
        "Index.docker.io=https://hub.example/prefix/",
    ])
    .unwrap();
    let Command::Serve(serve) = cli.command else {
        panic!()
    };
    assert_eq!(serve.config, Some(PathBuf::from("/a.toml")));
    assert_eq!(serve.listen.unwrap().to_string(), "0.0.0.0:5000");
    assert_eq!(serve.store, Some(StoreUrl::File("/data".into())));
    let upstreams: Vec<_> = serve
        .upstreams
        .iter()
        .map(|(name, url)| (name.as_str(), url.as_str()))
        .collect();
    assert_eq!(
        upstreams,
        [
            ("up.test", "http://127.0.0.1:5100"),
            ("docker.io", "https://hub.example/prefix")
        ]
    );
    let Command::Serve(serve) = parse(&["serve"]).unwrap().command else {
        panic!()
    };
    assert!(
        serve.config.is_none()
            && serve.listen.is_none()
            && serve.store.is_none()
            && serve.upstreams.is_empty()
    );
}

#[test]
fn mistakes_are_explained() {
    for (arguments, expected) in [
        (&["serve", "--upstream", "up.test"][..], "write NAME=URL"),
        (
            &["serve", "--upstream", "hub=https://x"],
            "a host with a dot or a port",
        ),
        (
            &["serve", "--upstream", "a.b=ftp://x"],
            "an endpoint starts with https:// or http://",
        ),
        (&["serve", "--store", "/data"], "a store is file:///folder"),
        (&["serve", "--listen", "5000"], "invalid value '5000'"),
        (&["serve", "--lisen", "x"], "--listen"),
        (&["serv"], "serve"),
        (&["check-config"], "<FILE>"),
    ] {
        let error = parse(arguments).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{arguments:?}");
        assert!(error.to_string().contains(expected), "{error}");
    }
    assert_eq!(parse(&["--version"]).unwrap_err().exit_code(), 0);
    assert_eq!(parse(&["serve", "--help"]).unwrap_err().exit_code(), 0);
}

/// Calls the command line as `main` does; `None` is for a proxy that was never started.
fn run_with(arguments: &[&str], result: Result<(), io::Error>) -> (ExitCode, Option<Config>) {
    let mut served = None;
    let code = run(parse(arguments).unwrap(), |config, _| {
        served = Some(config);
        result
    });
    (code, served)
}

#[test]
fn check_config_says_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.toml");
    let path = file.to_str().unwrap();
    let code = || format!("{:?}", run_with(&["check-config", path], Ok(())).0);
    let (failure, success) = (
        format!("{:?}", ExitCode::FAILURE),
        format!("{:?}", ExitCode::SUCCESS),
    );
    assert_eq!(code(), failure);
    std::fs::write(&file, "[store]\nurl = \"file:///data\"").unwrap();
    assert_eq!(code(), success);
    std::fs::write(&file, "[stor]").unwrap();
    assert_eq!(code(), failure);
}

#[test]
fn serve_runs_what_the_file_and_the_command_line_say() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.toml");
    std::fs::write(
        &file,
        "listen = \"127.0.0.1:1\"\n[store]\nurl = \"file:///data\"",
    )
    .unwrap();
    let arguments = [
        "serve",
        "--config",
        file.to_str().unwrap(),
        "--listen",
        "127.0.0.1:2",
    ];
    let (_, served) = run_with(&arguments, Err(io::Error::other("it failed")));
    let config = served.unwrap();
    assert_eq!(config.listen.port(), 2);
    assert_eq!(config.store.url, StoreUrl::File("/data".into()));
    std::fs::write(&file, "oops").unwrap();
    let (code, served) = run_with(&arguments, Ok(()));
    assert!(served.is_none());
    assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::FAILURE));
}
