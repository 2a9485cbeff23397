//! What CUDA needs of the package index: ONNX Runtime with its GPU providers, and CUDA 13's libraries, 2.3 GB unpacked. The
//! driver is the machine's. TensorRT's own libraries no index has: they are looked for, and never fetched.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use super::wheels::{Tags, Wanted, Wheel};
use crate::places::{ONNXRUNTIME_VERSION, Places};
use crate::shell;

/// A wheel and the libraries taken out of it, each with its digest.
struct Pinned {
    package: &'static str,
    version: &'static str,
    sha256: &'static str,
    platform: &'static str,
    abi: &'static str,
    folder: &'static str,
    libraries: &'static [(&'static str, &'static str)],
}

static ONNXRUNTIME: Pinned = Pinned {
    package: "onnxruntime-gpu",
    version: ONNXRUNTIME_VERSION,
    sha256: "e26c475fe361b2015f45b4b824bd13f0bb20204e59b62814e6f0acd5f3d491a6",
    platform: "manylinux_2_28_x86_64",
    abi: "cp311",
    folder: "onnxruntime/capi",
    libraries: &[
        ("libonnxruntime.so.1.31.1", "5104254339ecadae808da771bd0b63b240f0dbd466514234905e54372435c303"),
        (
            "libonnxruntime_providers_cuda.so",
            "d5290158115fa5569a3fe8f1f4037ee9b0e86658a96e52f852bbb7039aa88137",
        ),
        (
            "libonnxruntime_providers_shared.so",
            "086ec1d5388f64153d9c63470d126693db9a182c8ce236d3a1119068471b8a0d",
        ),
        (
            "libonnxruntime_providers_tensorrt.so",
            "1882ee49fdb0e6fc2d272b00cfaf9a3310bf8580a34385c0eec4d82014ea172e",
        ),
    ],
};

/// Versions that go with a driver of the series 580 and with ONNX Runtime 1.31.1.
static CUDA: [Pinned; 7] = [
    Pinned {
        package: "nvidia-cuda-runtime",
        version: "13.5.37",
        sha256: "df2b79a8852f10d1fef8c848489c49eebb5754051bf870202a862831412b179d",
        platform: "manylinux2014_x86_64",
        abi: "none",
        folder: "nvidia/cu13/lib",
        libraries: &[("libcudart.so.13", "be114eaabb3f3251cf30b6e334be5e8c3cf1b12c0a11c17295a810dd83cc141a")],
    },
    Pinned {
        package: "nvidia-cuda-nvrtc",
        version: "13.5.37",
        sha256: "86b4d68058807988b7d9af5b44917a0601e9c337f35ccd657bfb3c759ff8d8bc",
        platform: "manylinux2010_x86_64",
        abi: "none",
        folder: "nvidia/cu13/lib",
        libraries: &[
            ("libnvrtc-builtins.so.13.5", "6cecb2fd3e562bab1cb1c6e192f8f828157683c8febb22a00e178f9faf4e7f6a"),
            ("libnvrtc.so.13", "98a317ff5d2176dee5a04235c6663f8d553d5ed95b3104cbf7fb198cbf76a10d"),
        ],
    },
    Pinned {
        package: "nvidia-nvjitlink",
        version: "13.5.37",
        sha256: "280d7cb9649704145f074b8dbde500de04ce02d0872e066e20a83c17bcaa93eb",
        platform: "manylinux2010_x86_64",
        abi: "none",
        folder: "nvidia/cu13/lib",
        libraries: &[(
            "libnvJitLink.so.13",
            "0ba4a7e2c0819291ce928513755f4931dd69c77c63fb77677d14dc1360f28601",
        )],
    },
    Pinned {
        package: "nvidia-cublas",
        version: "13.10.0.20",
        sha256: "dcc6d63884c53d07e267ce7e6feac17b2538cebaafec5db865736c3e28e4dc84",
        platform: "manylinux1_x86_64",
        abi: "none",
        folder: "nvidia/cu13/lib",
        libraries: &[
            ("libcublas.so.13", "863f349b5352363c66079090d43d9d56ad3d676373ecac18418fd4fb2d0579d1"),
            ("libcublasLt.so.13", "b58e18ab4a6adc9bf4833d5cfe28db688e675fd6021db7eaf5da78d23f95d2de"),
        ],
    },
    Pinned {
        package: "nvidia-curand",
        version: "10.4.5.25",
        sha256: "22bb226a857e5888fe6b54ae465fc4371296bcff13a35f79e19691bcf454f529",
        platform: "manylinux_2_27_x86_64",
        abi: "none",
        folder: "nvidia/cu13/lib",
        libraries: &[("libcurand.so.10", "82586610865e67dc73505087e04dd40a3cc69b281028731ce763faafe14b1347")],
    },
    Pinned {
        package: "nvidia-cufft",
        version: "12.5.0.14",
        sha256: "b8be26837a5abad2b5b74f3e92dd29f622a42934b355be0961a48712cbba23ad",
        platform: "manylinux2014_x86_64",
        abi: "none",
        folder: "nvidia/cu13/lib",
        libraries: &[("libcufft.so.12", "fbc2100d3725d93ebd5c407c4c33717097f34ec0fd01ee899be4c9712b671774")],
    },
    Pinned {
        package: "nvidia-cudnn-cu13",
        version: "9.28.1.4",
        sha256: "a54f205b1db1f2895d99f398754db1369816f0569dd459731f925635cf7b65ec",
        platform: "manylinux_2_27_x86_64",
        abi: "none",
        folder: "nvidia/cudnn/lib",
        libraries: &[
            ("libcudnn.so.9", "f756cabeed9b481134769fdbc0c2ae022cf52ac39aab08be26ea990a56da2efc"),
            ("libcudnn_adv.so.9", "d69ed7d8adc4524ddb6cbf5e10211e35f580d14e40924692f0cdf1b78cf23ab2"),
            ("libcudnn_cnn.so.9", "2512f47e6e33000e12be5b2e59ac71eb8f5805a548561e7637e4413d1b7cdeb7"),
            (
                "libcudnn_engines_precompiled.so.9",
                "51bd1d25591ae2994120aac5c5be172e31b973e0fdeba43a50647949096ee40a",
            ),
            (
                "libcudnn_engines_runtime_compiled.so.9",
                "738655d1b9441a752fde9b9911780635e60fe96113f2b06c1af6d70458ef5174",
            ),
            (
                "libcudnn_engines_tensor_ir.so.9",
                "ff088c803f896fd9a92c0ab861026ff3b7ee5a4222713c3dd8221e1c843e74ec",
            ),
            ("libcudnn_ext.so.9", "46c273e178b7733ffa5d56bd9719f378a20b94e07d2ccf23c4078e22bced0652"),
            ("libcudnn_graph.so.9", "06c28f04f028466cf33461a7d645210146015d425a0dae6c7dc7e60c07c4d973"),
            ("libcudnn_heuristic.so.9", "7738da4dd6fee9597680ff595863743b2bc4bd5b0ec3edb4e8e9d28a2b5e629d"),
            ("libcudnn_ops.so.9", "e849b0a7353eec5bb5c9f75d841d075d786e205d84f8fd07b092770554674e48"),
        ],
    },
];

/// Libraries of TensorRT without which ONNX Runtime's provider does not load.
const TENSORRT: [&str; 2] = ["libnvinfer.so.10", "libnvonnxparser.so.10"];

/// Everything for CUDA.
pub fn wanted(places: &Places) -> Vec<Wanted> {
    let runtime = ONNXRUNTIME.wanted(places.onnxruntime_gpu());
    runtime.chain(CUDA.iter().flat_map(|pinned| pinned.wanted(places.cuda()))).collect()
}

impl Pinned {
    fn wanted(&'static self, to: PathBuf) -> impl Iterator<Item = Wanted> {
        let tags = Tags::Platform { platform: self.platform, python: "3.11", abi: self.abi };
        let wheel = Wheel {
            package: self.package.into(),
            version: self.version.into(),
            sha256: self.sha256.into(),
            tags,
        };
        self.libraries.iter().map(move |(file, sha256)| Wanted {
            what: format!("{} {} {file}", self.package, self.version),
            wheel: wheel.clone(),
            member: format!("{}/{file}", self.folder),
            sha256: (*sha256).into(),
            to: to.join(file),
        })
    }
}

/// Says whether TensorRT is there. A folder that was named and has it not is an error.
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
        println!("  TensorRT in {}: name it in engines.gpu_dirs, beside \"\"", dir.display());
        return Ok(());
    }
    match known_to_the_system() {
        Some(path) => println!("  TensorRT known to the system: {}", path.display()),
        None => println!(
            "  no TensorRT: no package index has its libraries. Install NVIDIA's TensorRT 10.13 or newer for CUDA 13, or\n  \
             build deploy/Containerfile.gpu; `setup --gpu --tensorrt DIR` looks into a folder. CUDA works without it"
        ),
    }
    Ok(())
}

/// Where the system's loader finds TensorRT.
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
    fn every_library_has_a_place_of_its_own_and_a_digest() {
        let places = Places { root: "/repo".into(), cache: "/cache".into() };
        let wanted = wanted(&places);
        let to: std::collections::BTreeSet<_> = wanted.iter().map(|one| &one.to).collect();
        assert_eq!(to.len(), wanted.len());
        let digest = |text: &str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
        assert!(wanted.iter().all(|one| digest(&one.sha256) && digest(&one.wheel.sha256)));
        for file in ["libcudnn.so.9", "libcublasLt.so.13", "libnvrtc-builtins.so.13.5"] {
            assert!(to.contains(&places.cuda().join(file)), "{file}");
        }
        // Where the host looks for the library of a ladder with a GPU on it.
        let library = "lib/onnxruntime-gpu-1.31.1/libonnxruntime.so.1.31.1";
        assert!(to.contains(&places.cache.join(library)));
    }

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
