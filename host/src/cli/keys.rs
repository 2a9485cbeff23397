//! The first administrator's key of a server.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use lector_control::{Admin, ControlPlane, Scope};

/// Creates the first administrator's key and writes it to a new file with mode 0600. The file is created first: a key
/// that exists but could not be written would lock the operator out.
pub(super) async fn first_admin_key(control: &ControlPlane, file: &Path) -> anyhow::Result<()> {
    let opened = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    let mut out = opened.with_context(|| {
        format!("creating {} (platform.admin_key_file) for the first administrator's key", file.display())
    })?;
    let made = control.create_key_for(&Admin::of_this_machine(), Scope::Admin, "first").await?;
    let written = writeln!(out, "{}", made.text.reveal()).and_then(|()| out.sync_all());
    written.with_context(|| format!("writing the first administrator's key to {}", file.display()))?;
    tracing::info!(file = %file.display(), key = %made.view.id, "created the first administrator's key");
    Ok(())
}
