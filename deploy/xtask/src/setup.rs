//! Downloads files that are not in git and verifies them: native libraries, model weights, the wasm std for guests.
//!
//! Everything is downloaded by package name with the package managers' own clients, so their mirrors and proxies apply.
//! It can be run at any time: intact files are kept, and if all are intact no network is needed.

pub mod debian;
pub mod gpu;
pub mod models;
mod pinned;
pub mod tesseract;
pub mod wasm;
pub mod wheels;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::places::Places;

/// Arguments of `cargo xtask setup`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Use the guests' compiler and std of Debian's rustc-web even if a better source is available (to test that path)
    #[arg(long)]
    rustc_web: bool,
    /// Also download the CUDA libraries: 1.5 GB of wheels, 2.3 GB unpacked
    #[arg(long)]
    gpu: bool,
    /// Folder with the TensorRT libraries, which no package index provides
    #[arg(long, requires = "gpu", value_name = "DIR")]
    tensorrt: Option<PathBuf>,
    /// Also install libtesseract, the data of script detection, and the data of these languages, by the names of Debian's
    /// packages: rus,kor,chi_sim; or `all`; without a value the twenty most used
    #[arg(long, value_name = "LANGUAGES", num_args = 0..=1, value_delimiter = ',', default_missing_value = tesseract::MOST_USED)]
    languages: Option<Vec<String>>,
}

/// Runs `cargo xtask setup`.
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
    if let Some(languages) = &arguments.languages {
        let _lock = places.lock()?;
        on_linux_x86_64()?;
        tesseract::install(places, languages)?;
    }
    Ok(())
}

fn for_gpus(places: &Places, tensorrt: Option<&Path>) -> Result<()> {
    on_linux_x86_64()?;
    wheels::unpack(places, &pinned::wanted(places, true)?)?;
    gpu::look_for_tensorrt(tensorrt)?;
    println!("setup for GPUs: complete; run `lector engines preflight` to check the machine");
    Ok(())
}

/// Installs everything, in order.
pub fn everything(places: &Places) -> Result<()> {
    let _lock = places.lock()?;
    println!("cache: {}", places.cache.display());
    files(places)?;
    wasm::ensure(places, &wasm::TARGETS)?;
    println!("setup: complete");
    Ok(())
}

/// Returns the libraries that a server without a GPU loads.
pub fn libraries(places: &Places) -> Result<Vec<wheels::Wanted>> {
    pinned::wanted(places, false)
}

/// Installs libraries and weights only.
pub fn files_of_the_server(places: &Places) -> Result<()> {
    let _lock = places.lock()?;
    files(places)
}

fn files(places: &Places) -> Result<()> {
    on_linux_x86_64()?;
    let mut wanted = libraries(places)?;
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
