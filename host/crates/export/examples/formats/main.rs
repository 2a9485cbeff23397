//! Writes a sample document in every format into a folder, for the check with independent readers
//! (`tests/formats/check.py`): `cargo run -p lector-export --example formats -- FOLDER`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

mod sample;

fn write(folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    std::fs::create_dir_all(folder)?;
    let (whole, one) = (sample::document(), sample::document_of(vec![sample::every_kind()]));
    for format in lector_export::all() {
        let info = format.info();
        // A composed format has no output without a document.
        if info.composed.is_some() {
            continue;
        }
        for (name, document) in [("document", &whole), ("page", &one)] {
            // PAGE XML holds one page.
            if name == "document" && info.name == "page-xml" {
                continue;
            }
            let bytes = lector_export::document(*format, document)?;
            std::fs::write(folder.join(format!("{name}.{}", info.extension)), bytes)?;
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    let folder = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("formats"), PathBuf::from);
    match write(&folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The exit code alone would not say why.
            let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{error}\n").as_bytes());
            ExitCode::FAILURE
        }
    }
}
