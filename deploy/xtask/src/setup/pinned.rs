//! The native libraries that the server loads: `pinned.txt` lists the wheel, the path and the digest of each. For GPUs
//! these are ONNX Runtime with its GPU providers and the CUDA 13 libraries, 2.3 GB unpacked; the driver is installed
//! separately.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::wheels::{Tags, Wanted, Wheel};
use crate::places::Places;

/// Returns the libraries for GPUs, or the others.
pub fn wanted(places: &Places, gpu: bool) -> Result<Vec<Wanted>> {
    let (mut wanted, mut wheel) = (Vec::new(), None);
    for line in include_str!("pinned.txt").lines().filter(|line| !line.starts_with('#')) {
        match (&line.split_whitespace().collect::<Vec<_>>()[..], &wheel) {
            ([package, version, platform, abi, sha256], _) => {
                wheel = Some(Wheel {
                    package: (*package).into(),
                    version: (*version).into(),
                    sha256: (*sha256).into(),
                    tags: Tags::Platform { platform, python: "3.11", abi },
                });
            }
            ([member, sha256], Some(wheel)) => {
                let (_, file) =
                    member.rsplit_once('/').context("the library is not in a folder of its wheel")?;
                wanted.push(Wanted {
                    what: format!("{} {} {file}", wheel.package, wheel.version),
                    wheel: wheel.clone(),
                    member: (*member).into(),
                    sha256: (*sha256).into(),
                    to: folder(places, &wheel.package)?.join(file),
                });
            }
            _ => bail!("pinned.txt: `{line}` is neither a wheel nor a library of one"),
        }
    }
    wanted.retain(|one| {
        gpu == (one.wheel.package.ends_with("-gpu") || one.wheel.package.starts_with("nvidia-"))
    });
    Ok(wanted)
}

fn folder(places: &Places, package: &str) -> Result<PathBuf> {
    Ok(match package {
        "onnxruntime" => places.onnxruntime().with_file_name(""),
        "pypdfium2" => places.pdfium().with_file_name(""),
        "openvino" => places.openvino(),
        "onnxruntime-gpu" => places.onnxruntime_gpu(),
        cuda if cuda.starts_with("nvidia-") => places.cuda(),
        other => bail!("pinned.txt: the libraries of {other} have no folder"),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn every_library_has_a_place_of_its_own_and_a_digest() {
        let places = Places { root: "/repo".into(), cache: "/cache".into() };
        let mut wanted = wanted(&places, true).unwrap();
        wanted.extend(super::wanted(&places, false).unwrap());
        let to: std::collections::BTreeSet<_> = wanted.iter().map(|one| &one.to).collect();
        assert_eq!(to.len(), wanted.len());
        let digest = |text: &str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
        assert!(wanted.iter().all(|one| digest(&one.sha256) && digest(&one.wheel.sha256)));
        for file in ["libcudnn.so.9", "libcublasLt.so.13", "libnvrtc-builtins.so.13.5"] {
            assert!(to.contains(&places.cuda().join(file)), "{file}");
        }
        // The paths that the server expects.
        let gpu = "lib/onnxruntime-gpu-1.31.1/libonnxruntime.so.1.31.1";
        for file in [places.cache.join(gpu), places.onnxruntime(), places.pdfium()] {
            assert!(to.contains(&file), "{}", file.display());
        }
        let version =
            |package: &str| &wanted.iter().find(|one| one.wheel.package == package).unwrap().wheel.version;
        assert_eq!(version("openvino"), crate::places::OPENVINO_VERSION);
    }
}
