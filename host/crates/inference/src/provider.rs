//! Providers and precisions; the two together are an engine variant of the provider preference list
//! ([`crate::provider_preference`]).
//!
//! A provider that the configuration names and that cannot load is a start-up error. No other provider serves unless
//! the list names it.

use std::fmt;
use std::str::FromStr;

/// An execution provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Provider {
    /// NVIDIA TensorRT on a device.
    TensorRt {
        /// Number of the device, from 0.
        device: u32,
    },
    /// NVIDIA CUDA on a device.
    Cuda {
        /// Number of the device, from 0.
        device: u32,
    },
    /// OpenVINO on the cores of this machine.
    OpenVino,
    /// ONNX Runtime's own kernels on the cores of this machine.
    Cpu,
    /// libtesseract in worker processes, for models of the task `transcription`; no configuration names it.
    Tesseract,
}

impl Provider {
    /// Returns the name in configuration, logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Provider::TensorRt { .. } => "tensorrt",
            Provider::Cuda { .. } => "cuda",
            Provider::OpenVino => "openvino",
            Provider::Cpu => "cpu",
            Provider::Tesseract => "tesseract",
        }
    }

    /// Returns whether its runs use the machine's cores.
    pub(crate) fn uses_cores(self) -> bool {
        matches!(self, Provider::Cpu | Provider::OpenVino | Provider::Tesseract)
    }

    /// Returns whether its engines are built in advance, from a model, into the cache.
    pub(crate) fn is_built(self) -> bool {
        self != Provider::Tesseract
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Provider::Cpu | Provider::OpenVino | Provider::Tesseract => f.write_str(self.as_str()),
            Provider::Cuda { device } | Provider::TensorRt { device } => {
                write!(f, "{}:{device}", self.as_str())
            }
        }
    }
}

/// Numeric precision of the operators where they support it; inputs and outputs are always f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32-bit floating point: the reference.
    F32,
    /// 16 bits with the range of 32 bits.
    Bf16,
    /// 16 bits: half precision.
    F16,
}

impl Precision {
    /// Returns the name in configuration, logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::Bf16 => "bf16",
            Precision::F16 => "f16",
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An engine variant: a provider at a precision. Written `openvino/bf16`, `cuda:1/f32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EngineVariant {
    /// The execution provider.
    pub provider: Provider,
    /// The precision.
    pub precision: Precision,
}

impl EngineVariant {
    /// The variant that every other one is compared with, and that needs no build: ONNX Runtime's kernels in f32.
    pub const REFERENCE: Self = Self { provider: Provider::Cpu, precision: Precision::F32 };

    /// The variant of all models of the task `transcription`.
    pub(crate) const TESSERACT: Self = Self { provider: Provider::Tesseract, precision: Precision::F32 };
}

impl fmt::Display for EngineVariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.provider, self.precision)
    }
}

impl serde::Serialize for EngineVariant {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for EngineVariant {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A text that names no provider.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no provider; known are auto, cpu, openvino, cuda, cuda:N, tensorrt, tensorrt:N (N: number of the device), \
     each but auto with a precision behind it if wanted: cpu/f32, openvino/bf16, openvino/f32, cuda/f32, tensorrt/f16, \
     tensorrt/bf16, tensorrt/f32"
)]
pub struct UnknownProvider(String);

/// Parses a variant with both parts.
impl FromStr for EngineVariant {
    type Err = UnknownProvider;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse::<Named>()? {
            Named { provider, precision: Some(precision) } => Ok(EngineVariant { provider, precision }),
            _ => Err(UnknownProvider(text.to_owned())),
        }
    }
}

/// A provider as written in the configuration, where the precision is optional.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named {
    /// The execution provider.
    pub provider: Provider,
    /// The precision; `None`: the best one of the provider.
    pub precision: Option<Precision>,
}

impl FromStr for Named {
    type Err = UnknownProvider;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || UnknownProvider(text.to_owned());
        let (place, precision) = match text.split_once('/') {
            Some((place, precision)) => (place, Some(precision)),
            None => (text, None),
        };
        let (name, device) = match place.split_once(':') {
            Some((name, device)) => (name, Some(device.parse::<u32>().map_err(|_| unknown())?)),
            None => (place, None),
        };
        let precision = match precision {
            None => None,
            Some("f32") => Some(Precision::F32),
            Some("bf16") => Some(Precision::Bf16),
            Some("f16") => Some(Precision::F16),
            Some(_) => return Err(unknown()),
        };
        let provider = match (name, device, precision) {
            ("cpu", None, None | Some(Precision::F32)) => Provider::Cpu,
            ("openvino", None, None | Some(Precision::F32 | Precision::Bf16)) => Provider::OpenVino,
            ("cuda", device, None | Some(Precision::F32)) => Provider::Cuda { device: device.unwrap_or(0) },
            ("tensorrt", device, _) => Provider::TensorRt { device: device.unwrap_or(0) },
            _ => return Err(unknown()),
        };
        Ok(Self { provider, precision })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn variants_parse_as_they_print() {
        for text in ["cpu/f32", "openvino/bf16", "openvino/f32", "cuda:1/f32", "tensorrt:0/f16"] {
            assert_eq!(text.parse::<EngineVariant>().unwrap().to_string(), text);
        }
        assert_eq!("cpu/f32".parse(), Ok(EngineVariant::REFERENCE));
        let named = |text: &str| text.parse::<Named>().unwrap();
        assert_eq!(named("cuda"), Named { provider: Provider::Cuda { device: 0 }, precision: None });
        assert_eq!(named("openvino").precision, None);
        for wrong in
            ["", "cpu:0", "cpu/bf16", "gpu", "cuda:", "cuda:x", "tensorrt:-1", "openvino/f16", "cpu/"]
        {
            assert!(wrong.parse::<Named>().unwrap_err().to_string().contains(wrong));
        }
        assert!("cpu".parse::<EngineVariant>().is_err(), "an engine variant names its precision");
    }
}
