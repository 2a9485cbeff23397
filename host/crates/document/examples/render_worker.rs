//! A minimal render worker, equivalent to `lector render-worker`, for the tests of this crate.

use std::process::ExitCode;

fn main() -> ExitCode {
    lector_document::worker_main()
}
