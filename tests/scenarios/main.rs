//! Integration scenarios: the real gateway, real guests, real models, real documents. One file a capability.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod bad_input;
mod batch;
mod cli;
mod connections;
mod corpus;
mod documents;
mod faults;
mod first_light;
mod guests;
mod hostile;
mod lifecycle;
mod redact;
mod surface;
mod tenants;
