//! Fetches what is not in git and checks every byte of it: native libraries, model weights, the wasm std for guests.
//!
//! All of it comes by package name through the package managers' own clients, so mirrors and proxies that they know are
//! used. It can be run at any time: what is there and intact is left alone, and then nothing needs the network.

pub mod debian;
pub mod gpu;
pub mod models;
pub mod wasm;
pub mod wheels;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::places::{ONNXRUNTIME_VERSION, OPENVINO_VERSION, Places};
use wheels::{Tags, Wanted, Wheel};

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
    wheels::unpack(places, &gpu::wanted(places))?;
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
    let mut wanted = libraries(places)?;
    wanted.extend(models::wanted(places)?);
    wheels::unpack(places, &wanted)
}

/// OpenVINO as far as it compiles ONNX models for a CPU: 92 MB of the wheel's 180.
const OPENVINO: [(&str, &str); 7] = [
    ("libopenvino_c.so.2641", "d2d0836d422b21fc5da2739af0d6035df3fc6dd5e4756402eb848974edecf8a5"),
    ("libopenvino.so.2641", "9b9a80ac1f18e07b13ed54459d9a865bcfe9dc170dbf8fe740c2974b85ecedc1"),
    ("libopenvino_intel_cpu_plugin.so", "6599e3dd300d047b5ed72f8e48101c5f312c25321f35f57f803641ff8372900b"),
    ("libopenvino_onnx_frontend.so.2641", "82d499f5b5e8514def7aaa1ecd5a9f570542d33ae9d00a0077f707cccd0e0192"),
    ("libopenvino_ir_frontend.so.2641", "554e9fd3d4a0fbc587c14379464b2324e24b8ea736cfb749ad2cd9e74dfc09e0"),
    ("libtbb.so.12", "ac9518497a4f2cb6729792730f145ee58367316031511923fef263c9ac81ca61"),
    ("libhwloc.so.15", "e91be9f5bc1c87aadb08f2e19ebcb742979adda0a5434f72650a154e317e7fb1"),
];

fn openvino(places: &Places) -> impl Iterator<Item = Wanted> {
    let folder = places.openvino();
    OPENVINO.into_iter().map(move |(file, sha256)| Wanted {
        what: format!("OpenVINO {OPENVINO_VERSION} {file}"),
        wheel: Wheel {
            package: "openvino".into(),
            version: OPENVINO_VERSION.into(),
            sha256: "2d22b1da03f7caf74df30e9f6417d0ab2f637e4a38e08e1dcd294d2c37407aaf".into(),
            tags: Tags::Platform { platform: "manylinux_2_28_x86_64", python: "3.11", abi: "cp311" },
        },
        member: format!("openvino/libs/{file}"),
        sha256: sha256.into(),
        to: folder.join(file),
    })
}

fn on_linux_x86_64() -> Result<()> {
    if (std::env::consts::OS, std::env::consts::ARCH) != ("linux", "x86_64") {
        bail!(
            "the pinned libraries are for Linux on x86_64, and this is {} on {}: no wheel is pinned for it yet (deploy/xtask/src/setup.rs)",
            std::env::consts::OS,
            std::env::consts::ARCH
        );
    }
    Ok(())
}

/// The native libraries that the host loads at run time.
fn libraries(places: &Places) -> Result<Vec<Wanted>> {
    on_linux_x86_64()?;
    let mut wanted = vec![
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
    ];
    wanted.extend(openvino(places));
    Ok(wanted)
}
