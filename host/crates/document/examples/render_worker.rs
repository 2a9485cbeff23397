//! The smallest render worker: what `lector render-worker` is, for this crate's own tests.

use std::process::ExitCode;

fn main() -> ExitCode {
    lector_document::worker_main()
}
