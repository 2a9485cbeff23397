//! Integration scenarios: the real gateway, real guests, real models, real documents. One file per capability.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod bad_input;
mod batch;
mod cli;
mod connections;
mod contexts;
mod contract;
mod corpus;
mod damage;
mod deploys;
mod documents;
mod faults;
mod first_run;
mod flat;
mod guest_logs;
mod guests;
mod hostile;
mod jobs;
mod lifecycle;
mod models;
mod observed;
mod operations;
mod plans;
mod redact;
mod resident;
mod retries;
mod server;
mod slow_documents;
mod surface;
mod survival;
mod swap;
mod tenants;
mod tls;
mod uploads;
mod words;
mod wraps;
