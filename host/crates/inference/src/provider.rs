//! Execution providers: who computes. The ladder (TensorRT, CUDA, OpenVINO, CPU, in a configured order, each engine
//! built, cached and accepted before it serves) stands on this enum; today a host names one provider for all models.
//!
//! A provider that was asked for and cannot load is a start-up error. Nothing falls back in silence.

use std::fmt;
use std::str::FromStr;

use ort::ep::{self, ExecutionProviderDispatch};

/// Who computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Provider {
    /// ONNX Runtime's own kernels on the cores of this machine.
    #[default]
    Cpu,
    /// NVIDIA CUDA on a device.
    Cuda {
        /// Which one, from 0.
        device: u32,
    },
    /// NVIDIA TensorRT on a device.
    TensorRt {
        /// Which one, from 0.
        device: u32,
    },
}

impl Provider {
    /// Its name in configuration, logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Provider::Cpu => "cpu",
            Provider::Cuda { .. } => "cuda",
            Provider::TensorRt { .. } => "tensorrt",
        }
    }

    /// Whether its runs keep the machine's cores busy.
    pub(crate) fn uses_cores(self) -> bool {
        self == Provider::Cpu
    }

    /// For a session's options; failing to load is an error there.
    pub(crate) fn dispatch(self) -> ExecutionProviderDispatch {
        let id = |device: u32| i32::try_from(device).unwrap_or(i32::MAX);
        match self {
            Provider::Cpu => ep::CPU::default().with_arena_allocator(true).build(),
            Provider::Cuda { device } => ep::CUDA::default().with_device_id(id(device)).build(),
            Provider::TensorRt { device } => ep::TensorRT::default().with_device_id(id(device)).build(),
        }
        .error_on_failure()
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Provider::Cpu => f.write_str("cpu"),
            Provider::Cuda { device } | Provider::TensorRt { device } => {
                write!(f, "{}:{device}", self.as_str())
            }
        }
    }
}

/// A name that is no provider's.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no provider; known are cpu, cuda, cuda:N, tensorrt, tensorrt:N (N: number of the device)")]
pub struct UnknownProvider(String);

impl FromStr for Provider {
    type Err = UnknownProvider;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || UnknownProvider(text.to_owned());
        let (name, device) = match text.split_once(':') {
            Some((name, device)) => (name, Some(device.parse::<u32>().map_err(|_| unknown())?)),
            None => (text, None),
        };
        match (name, device) {
            ("cpu", None) => Ok(Provider::Cpu),
            ("cuda", device) => Ok(Provider::Cuda { device: device.unwrap_or(0) }),
            ("tensorrt", device) => Ok(Provider::TensorRt { device: device.unwrap_or(0) }),
            _ => Err(unknown()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn providers_parse_as_they_print() {
        for provider in [Provider::Cpu, Provider::Cuda { device: 1 }, Provider::TensorRt { device: 0 }] {
            assert_eq!(provider.to_string().parse(), Ok(provider));
        }
        assert_eq!("cuda".parse(), Ok(Provider::Cuda { device: 0 }));
        for wrong in ["", "cpu:0", "gpu", "cuda:", "cuda:x", "tensorrt:-1"] {
            assert!(wrong.parse::<Provider>().unwrap_err().to_string().contains(wrong));
        }
    }
}
