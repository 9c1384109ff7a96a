//! Prints each name of an image in full: `normalise alpine quay.io/org/app:1`.
#![allow(clippy::print_stdout, reason = "printing is what the example is for")]

use std::env;

use longshore_reference::Reference;

fn main() -> Result<(), longshore_reference::Error> {
    for text in env::args().skip(1) {
        let reference = Reference::parse(&text)?;
        let named = reference.named();
        println!("{reference}: {} at {}", named.path(), named.domain());
    }
    Ok(())
}
