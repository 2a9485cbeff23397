//! `lector keys`: made, listed, rotated, revoked. And how a house gets its first one.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use lector_control::{Admin, ControlPlane, Scope};

/// Makes the first administrator's key and writes it to a new file that only its owner may read. The file is made first:
/// a key that could not be handed over would lock the house.
pub(super) async fn first_admin_key(control: &ControlPlane, file: &Path) -> anyhow::Result<()> {
    let opened = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    let mut out = opened.with_context(|| {
        format!("making {} (platform.admin_key_file) for the first administrator's key", file.display())
    })?;
    let made = control.create_key_for(&Admin::of_this_machine(), Scope::Admin, "first").await?;
    let written = writeln!(out, "{}", made.text.reveal()).and_then(|()| out.sync_all());
    written.with_context(|| format!("writing the first administrator's key to {}", file.display()))?;
    tracing::info!(file = %file.display(), key = %made.view.id, "made the first administrator's key");
    Ok(())
}
