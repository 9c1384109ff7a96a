//! Registry protocol v1, as it was before 2015: images of layers that are images themselves.

mod image;
mod registry;
mod site;

pub use image::{V1Image, V1Layer, V1Style};
pub use registry::V1Registry;

#[cfg(test)]
mod tests;
