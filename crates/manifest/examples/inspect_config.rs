//! Prints what an image configuration says: `inspect_config < config.json`.
#![allow(clippy::print_stdout, reason = "printing is what the example is for")]

use std::io::{self, Read};

use longshore_manifest::{CONFIG_BYTES_MAX, ImageConfig};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut json = Vec::new();
    let limit = u64::try_from(CONFIG_BYTES_MAX)?.saturating_add(1);
    io::stdin().lock().take(limit).read_to_end(&mut json)?;
    let config = ImageConfig::decode(&json)?;
    println!("platform    {}", config.platform().full());
    println!("created     {}", config.created().unwrap_or("not known"));
    let run = config.run();
    println!("user        {}", run.user);
    println!("entrypoint  {}", run.entrypoint.join(" "));
    println!("command     {}", run.cmd.join(" "));
    for variable in &run.env {
        println!("environment {variable}");
    }
    for port in &run.exposed_ports {
        println!("port        {port}");
    }
    for (key, value) in &run.labels {
        println!("label       {key}={value}");
    }
    for step in config.history() {
        let empty = if step.empty_layer { " (no layer)" } else { "" };
        println!("history     {}{empty}", step.created_by);
    }
    for diff_id in config.diff_ids()? {
        println!("layer       {diff_id}");
    }
    Ok(())
}
