//! `lector config`.

use std::process::ExitCode;

use super::failure::Failure;
use super::terminal;
use crate::config::Effective;

pub(super) fn run(effective: &Effective) -> Result<ExitCode, Failure> {
    terminal::print(&effective.to_toml()?)?;
    Ok(ExitCode::SUCCESS)
}
