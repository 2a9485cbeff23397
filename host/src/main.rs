//! The `lector` program; its code is in the library.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    lector::cli::run()
}
