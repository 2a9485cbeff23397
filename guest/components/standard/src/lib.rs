//! The default guest: the standard pipeline of `lector-steps`, which other guests also build on. This crate contains
//! only the export.

lector_sdk::export!(lector_steps::Standard);
