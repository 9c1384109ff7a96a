//! The binary itself. That this test exists makes cargo build it, for the tests of the whole program too.
#![allow(clippy::unwrap_used, reason = "a failure is a failed test")]

use std::process::Command;

#[test]
fn it_tells_its_version() {
    let output = Command::new(env!("CARGO_BIN_EXE_longshore"))
        .arg("--version")
        .output()
        .unwrap();
    assert!(output.status.success());
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        said.trim(),
        concat!("longshore ", env!("CARGO_PKG_VERSION"))
    );
}
