//! Searches for TensorRT. No package index provides its libraries, so they are never downloaded.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::shell;

/// Libraries of TensorRT that ONNX Runtime's provider requires.
const TENSORRT: [&str; 2] = ["libnvinfer.so.10", "libnvonnxparser.so.10"];

/// Prints whether TensorRT is installed. A named folder without it is an error.
pub fn look_for_tensorrt(named: Option<&Path>) -> Result<()> {
    if let Some(dir) = named {
        let missing: Vec<&str> = TENSORRT.into_iter().filter(|file| !dir.join(file).is_file()).collect();
        if !missing.is_empty() {
            bail!(
                "{} has no {}: TensorRT 10.13 or newer for CUDA 13 does",
                dir.display(),
                missing.join(", no ")
            );
        }
        println!("  TensorRT in {}: add this folder to engines.gpu_dirs, beside \"\"", dir.display());
        return Ok(());
    }
    match known_to_the_system() {
        Some(path) => println!("  TensorRT found by the system's loader: {}", path.display()),
        None => println!(
            "  no TensorRT: no package index provides its libraries. Install NVIDIA's TensorRT 10.13 or newer for CUDA 13, or\n  \
             build deploy/Containerfile.gpu; `setup --gpu --tensorrt DIR` checks a folder. CUDA works without it"
        ),
    }
    Ok(())
}

/// Returns the path where the system's loader finds TensorRT.
fn known_to_the_system() -> Option<PathBuf> {
    let listed = shell::output(Command::new("ldconfig").arg("-p")).ok()?;
    found_in(&listed)
}

fn found_in(listed: &str) -> Option<PathBuf> {
    let place = |file: &str| {
        let line = listed.lines().find(|line| line.trim_start().starts_with(&format!("{file} ")))?;
        Some(PathBuf::from(line.rsplit_once(" => ")?.1.trim()))
    };
    TENSORRT.into_iter().map(place).collect::<Option<Vec<_>>>()?.into_iter().next()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn tensorrt_is_found_whole_or_not_at_all() {
        let listed = "\tlibnvinfer.so.10 (libc6,x86-64) => /usr/lib/libnvinfer.so.10\n";
        assert_eq!(found_in(listed), None);
        let both =
            format!("{listed}\tlibnvonnxparser.so.10 (libc6,x86-64) => /usr/lib/libnvonnxparser.so.10\n");
        assert_eq!(found_in(&both), Some("/usr/lib/libnvinfer.so.10".into()));
        let folder = tempfile::tempdir().unwrap();
        let error = look_for_tensorrt(Some(folder.path())).unwrap_err().to_string();
        assert!(error.contains("no libnvinfer.so.10, no libnvonnxparser.so.10"), "{error}");
        TENSORRT.iter().for_each(|file| std::fs::write(folder.path().join(file), "").unwrap());
        look_for_tensorrt(Some(folder.path())).unwrap();
    }
}
