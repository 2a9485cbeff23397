//! The attacks, by the part of the server that they aim at.

mod arena;
mod connections;
mod control;
mod documents;
mod files;
mod http2;
mod processes;
mod soak;
