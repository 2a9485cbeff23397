//! The default guest: the standard steps, as they are. The steps themselves stand in `lector-steps`, so that
//! other guests can build on them; a component crate holds nothing but the export.

lector_sdk::export!(lector_steps::Standard);
