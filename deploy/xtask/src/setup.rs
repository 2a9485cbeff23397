//! Fetches what is not in git and checks every byte of it: native libraries, model weights, the wasm std for guests.
//!
//! All of it comes by package name through the package managers' own clients, so mirrors and proxies that they know are
//! used. It can be run at any time: what is there and intact is left alone, and then nothing needs the network.

pub mod debian;
pub mod models;
pub mod wasm;
pub mod wheels;

use anyhow::{Result, bail};

use crate::places::{ONNXRUNTIME_VERSION, Places};
use wheels::{Tags, Wanted, Wheel};

/// How to set up.
#[derive(clap::Args)]
pub struct Arguments {
    /// Take the guests' compiler and std from Debian's rustc-web even where a better way would do (to try that way)
    #[arg(long)]
    rustc_web: bool,
}

/// `cargo xtask setup`.
pub fn run(places: &Places, arguments: &Arguments) -> Result<()> {
    if arguments.rustc_web {
        let _lock = places.lock()?;
        wasm::ensure_by_rustc_web(places)?;
    }
    everything(places)
}

/// Everything, in order.
pub fn everything(places: &Places) -> Result<()> {
    let _lock = places.lock()?;
    println!("cache: {}", places.cache.display());
    files(places)?;
    wasm::ensure(places)?;
    println!("setup: all there");
    Ok(())
}

/// Libraries and weights alone.
fn files(places: &Places) -> Result<()> {
    let mut wanted = libraries(places)?;
    wanted.extend(models::wanted(places)?);
    wheels::unpack(places, &wanted)
}

/// The two native libraries that the host loads at run time.
fn libraries(places: &Places) -> Result<Vec<Wanted>> {
    if (std::env::consts::OS, std::env::consts::ARCH) != ("linux", "x86_64") {
        bail!(
            "the pinned libraries are for Linux on x86_64, and this is {} on {}: no wheel is pinned for it yet (deploy/xtask/src/setup.rs)",
            std::env::consts::OS,
            std::env::consts::ARCH
        );
    }
    Ok(vec![
        Wanted {
            what: format!("ONNX Runtime {ONNXRUNTIME_VERSION}"),
            wheel: Wheel {
                package: "onnxruntime".into(),
                version: ONNXRUNTIME_VERSION.into(),
                sha256: "5752bd508126ae7c49894d3b9d2e83f0c3d487319246d04c444b393308d7ad7f".into(),
                // Only the C library is taken from it, so the Python that is here need not be 3.11.
                tags: Tags::Platform { platform: "manylinux_2_28_x86_64", python: "3.11", abi: "cp311" },
            },
            member: format!("onnxruntime/capi/libonnxruntime.so.{ONNXRUNTIME_VERSION}"),
            sha256: "fc44112fbe06d7d689c57e11d3862031f64711007e4ee020f8eed5185fd2c1d3".into(),
            to: places.onnxruntime(),
        },
        Wanted {
            what: format!("pdfium {}", crate::places::PDFIUM_BUILD),
            wheel: Wheel {
                package: "pypdfium2".into(),
                version: "5.15.2".into(),
                sha256: "dc31aea5b0fb9fefc9b537a65f4113980b2c40798445736a7e6565bc85161e37".into(),
                tags: Tags::Platform { platform: "manylinux_2_17_x86_64", python: "3.11", abi: "none" },
            },
            member: "pypdfium2_raw/libpdfium.so".into(),
            sha256: "c76dc0f7839644bfa7c3e3107a6068df714e339c861bb7d4519907b821d427f9".into(),
            to: places.pdfium(),
        },
    ])
}
