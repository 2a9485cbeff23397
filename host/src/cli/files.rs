//! Files of the command line: input from a file or from standard input, output written as a whole.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, bail};

/// Returns whether the argument is `-`.
pub(super) fn is_stdin(file: &Path) -> bool {
    file.as_os_str() == "-"
}

/// Returns the name of a file in results and messages.
pub(super) fn name_of(file: &Path) -> String {
    if is_stdin(file) { "standard input".to_owned() } else { file.display().to_string() }
}

/// Reads a file or standard input, at most `bytes_max` bytes.
pub(super) async fn bytes_of(file: &Path, bytes_max: u64) -> anyhow::Result<Vec<u8>> {
    use tokio::io::AsyncReadExt;
    let too_large = || format!("holds more than {bytes_max} bytes: raise platform.held_bytes_max");
    let mut bytes = Vec::new();
    if is_stdin(file) {
        // One byte beyond the limit shows that the input is too large.
        let mut input = tokio::io::stdin().take(bytes_max.saturating_add(1));
        input.read_to_end(&mut bytes).await.context("reading standard input")?;
    } else {
        let file = tokio::fs::File::open(file).await.context("opening it")?;
        let length = file.metadata().await.context("reading its size")?.len();
        if length > bytes_max {
            bail!(too_large());
        }
        bytes.reserve_exact(usize::try_from(length).unwrap_or(0));
        file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes).await.context("reading it")?;
    }
    if bytes.len() as u64 > bytes_max {
        bail!(too_large());
    }
    Ok(bytes)
}

/// Writes a file atomically.
pub(super) fn write_whole(file: &Path, content: &[u8]) -> anyhow::Result<()> {
    let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || -> anyhow::Result<()> {
        let mut whole = tempfile::NamedTempFile::new_in(dir)?;
        whole.write_all(content)?;
        whole.persist(file)?;
        Ok(())
    };
    write().with_context(|| format!("writing {}", file.display()))
}
