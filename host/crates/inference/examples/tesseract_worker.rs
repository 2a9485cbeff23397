//! A minimal worker of libtesseract, equivalent to `lector tesseract-worker`, for the tests of this crate.

use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    lector_inference::tesseract::worker_main(&arguments)
}
