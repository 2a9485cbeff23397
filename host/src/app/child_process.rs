//! Processes of this program in another role: render workers, the engine builder, the component compiler.

use std::ffi::OsString;

use anyhow::Context;

/// Returns the command line that runs this program in another role, in a process that may crash.
pub(super) fn command_of(role: &str) -> anyhow::Result<Vec<OsString>> {
    let program =
        std::env::current_exe().with_context(|| format!("finding the program that becomes the {role}"))?;
    Ok(vec![program.into_os_string(), OsString::from(role)])
}
