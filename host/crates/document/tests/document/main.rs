//! Integration tests of documents: real worker processes, real files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]
#![allow(clippy::disallowed_methods)]

mod builder;
mod compose;
mod corpus;
mod hostile;
mod pictures;
mod pool;
mod sandbox;
mod shown;
mod support;
mod text;
