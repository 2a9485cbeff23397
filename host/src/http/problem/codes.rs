//! The list of problem codes: the only one. Problem responses, the OpenAPI document and the pages under `/problems` are
//! made from it.
//!
//! Owns the HTTP statuses, the description and the remedy of every code that a response may carry, by area. A new code of
//! any crate needs an entry in the module of its area; a test finds codes without an entry, and entries that nothing sends.

mod compat;
mod deployments;
mod documents;
mod entry;
mod guests;
mod jobs;
mod requests;
mod server;
mod storage;
mod tenants;

use std::sync::LazyLock;

pub(crate) use entry::{ProblemCode, title};

/// Every problem code, in the order in which they are published.
pub(crate) static ALL: LazyLock<Vec<ProblemCode>> = LazyLock::new(|| {
    [
        compat::CODES,
        requests::CODES,
        jobs::CODES,
        server::CODES,
        documents::CODES,
        guests::CODES,
        tenants::CODES,
        deployments::CODES,
        storage::CODES,
    ]
    .concat()
});

/// Returns the entry of a code.
pub(crate) fn find(code: &str) -> Option<&'static ProblemCode> {
    ALL.iter().find(|entry| entry.code == code)
}

#[cfg(test)]
mod tests;
