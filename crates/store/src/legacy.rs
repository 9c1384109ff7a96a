//! Legacy images: what an image of protocol v1 or a schema 1 manifest was made into for today's clients, and where the
//! bytes of the result come from. How they are made is the caller's; that it is done once, and kept, is the store's.

pub(crate) mod layers;
pub(crate) mod made;
