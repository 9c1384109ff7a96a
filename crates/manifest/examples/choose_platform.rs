//! Prints which entry of an index is for a platform: `choose_platform linux/arm/v7 < index.json`.
#![allow(clippy::print_stdout, reason = "printing is what the example is for")]

use std::{
    env,
    io::{self, Read},
};

use longshore_manifest::{Choice, MANIFEST_BYTES_MAX, Manifest, Platform, Preference};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let platform = match env::args().nth(1) {
        Some(specifier) => specifier.parse()?,
        None => Platform::host(),
    };
    let mut json = Vec::new();
    let limit = u64::try_from(MANIFEST_BYTES_MAX)?.saturating_add(1);
    io::stdin().lock().take(limit).read_to_end(&mut json)?;
    let index = Manifest::decode(None, json.into())?;
    // A client fetches what `next` gives, and hands indexes among it to `descend`.
    let mut choice = Choice::new(Preference::only(&platform), &index)?;
    let entry = choice.next().ok_or_else(|| choice.no_match())?;
    println!("{}", entry.digest);
    Ok(())
}
