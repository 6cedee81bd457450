//! Where objects come from: manifest files.

pub mod wire;
