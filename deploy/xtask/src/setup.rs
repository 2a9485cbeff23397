//! Fetches what is not in git and checks every byte of it: native libraries, model weights, the wasm std for guests.
//!
//! All of it comes by package name through the package managers' own clients, so mirrors and proxies that they know are
//! used. It can be run at any time: what is there and intact is left alone, and then nothing needs the network.

pub mod debian;
pub mod gpu;
pub mod models;
mod pinned;
pub mod wasm;
pub mod wheels;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::places::Places;

/// How to set up.
#[derive(clap::Args)]
pub struct Arguments {
    /// Take the guests' compiler and std from Debian's rustc-web even where a better way would do (to try that way)
    #[arg(long)]
    rustc_web: bool,
    /// Fetch what CUDA needs, too: 1.5 GB of wheels, 2.3 GB unpacked
    #[arg(long)]
    gpu: bool,
    /// A folder with TensorRT's libraries, which no package index has
    #[arg(long, requires = "gpu", value_name = "DIR")]
    tensorrt: Option<PathBuf>,
}

/// `cargo xtask setup`.
pub fn run(places: &Places, arguments: &Arguments) -> Result<()> {
    if arguments.rustc_web {
        let _lock = places.lock()?;
        wasm::ensure_by_rustc_web(places)?;
    }
    everything(places)?;
    if arguments.gpu {
        let _lock = places.lock()?;
        for_gpus(places, arguments.tensorrt.as_deref())?;
    }
    Ok(())
}

fn for_gpus(places: &Places, tensorrt: Option<&Path>) -> Result<()> {
    on_linux_x86_64()?;
    wheels::unpack(places, &pinned::wanted(places, true)?)?;
    gpu::look_for_tensorrt(tensorrt)?;
    println!("setup for GPUs: all there; `lector engines preflight` says what the machine has");
    Ok(())
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
    on_linux_x86_64()?;
    let mut wanted = pinned::wanted(places, false)?;
    wanted.extend(models::wanted(places)?);
    wheels::unpack(places, &wanted)
}

fn on_linux_x86_64() -> Result<()> {
    if (std::env::consts::OS, std::env::consts::ARCH) != ("linux", "x86_64") {
        bail!(
            "the pinned libraries are for Linux on x86_64, and this is {} on {}: no wheel is pinned for it yet (deploy/xtask/src/setup/pinned.txt)",
            std::env::consts::OS,
            std::env::consts::ARCH
        );
    }
    Ok(())
}
