//! Checks that standard input has a digest: `verify sha256:2cf24dba… < file`.
#![allow(clippy::print_stdout, reason = "printing is what the example is for")]

use std::{
    env,
    io::{self, Read},
};

use longshore_reference::{Digest, Verifier};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let digest = env::args().nth(1).ok_or("usage: verify DIGEST")?;
    let mut verifier = Verifier::new(Digest::parse(&digest)?);
    let mut input = io::stdin().lock();
    let mut piece = vec![0; 64 * 1024];
    loop {
        let read = input.read(&mut piece)?;
        let Some(bytes) = piece.get(..read).filter(|bytes| !bytes.is_empty()) else {
            break;
        };
        verifier.update(bytes);
    }
    if !verifier.verify() {
        return Err("the content has another digest".into());
    }
    println!("{digest}: good");
    Ok(())
}
