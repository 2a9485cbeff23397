//! The provider preference list: the engine variants that may serve a model, in order, with the reasons.
//!
//! Pure: the caller describes the machine. Providers that the configuration names must be available; `auto` selects the
//! available ones.

use std::fmt;
use std::str::FromStr;

use crate::machine::Machine;
use crate::provider::{EngineVariant, Named, Precision, Provider, UnknownProvider};

/// An element of the configured list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PreferredProvider {
    /// The fastest variant of this machine, then the next one.
    Auto,
    /// A named provider, which must be available.
    Named(Named),
}

impl FromStr for PreferredProvider {
    type Err = UnknownProvider;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "auto" { Ok(Self::Auto) } else { text.parse().map(Self::Named) }
    }
}

/// Engine variants, most wanted first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderPreference {
    /// At least one; no variant twice.
    pub variants: Vec<EngineVariant>,
    /// Those of them that serve a model only where its engine was measured to take less processor time than the reference.
    pub measured: Vec<EngineVariant>,
    /// The reasons for this list: a sentence for each decision of `auto`.
    pub reasons: Vec<String>,
}

impl fmt::Display for ProviderPreference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.variants.iter().enumerate().try_for_each(|(at, variant)| {
            f.write_str(if at == 0 { "" } else { ", " })?;
            write!(f, "{variant}")
        })
    }
}

/// The properties of the machine and its libraries that the choice depends on.
#[derive(Clone, Debug)]
pub(crate) struct Availability<'a> {
    pub(crate) machine: &'a Machine,
    /// The reason why OpenVINO is missing; `None`: it is available.
    pub(crate) openvino_missing: Option<String>,
}

/// Why a provider preference list is invalid.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PreferenceError {
    /// The list is empty.
    #[error("no provider is named")]
    Empty,
    /// The processor does not compute the precision.
    #[error(
        "{variant}: {machine} has neither avx512_bf16 nor AMX, without which bf16 is slower and less exact than f32; ask for openvino/f32 or cpu"
    )]
    NoBf16 {
        /// The requested variant.
        variant: EngineVariant,
        /// Name of the processor.
        machine: String,
    },
}

impl ProviderPreference {
    /// Returns the variants for `hints` under these circumstances.
    pub(crate) fn resolve(
        hints: &[PreferredProvider],
        here: &Availability<'_>,
    ) -> Result<Self, PreferenceError> {
        let mut preference = Self { variants: Vec::new(), measured: Vec::new(), reasons: Vec::new() };
        for hint in hints {
            match hint {
                PreferredProvider::Auto => preference.auto(here),
                PreferredProvider::Named(named) => preference.named(*named, here)?,
            }
        }
        if preference.variants.is_empty() { Err(PreferenceError::Empty) } else { Ok(preference) }
    }

    fn auto(&mut self, here: &Availability<'_>) {
        let name = here.machine.name();
        match &here.openvino_missing {
            Some(why) => self.reasons.push(format!("no openvino: {why}")),
            None if !here.machine.has_bf16() => {
                self.reasons.push(format!(
                    "openvino/f32: {name} has neither avx512_bf16 nor AMX, so it serves a model where it is measured to take \
                     less processor time than cpu/f32"
                ));
                let variant = EngineVariant { provider: Provider::OpenVino, precision: Precision::F32 };
                if !self.variants.contains(&variant) {
                    self.measured.push(variant);
                }
                self.push(variant.provider, variant.precision);
            }
            None => {
                self.reasons.push(format!("openvino/bf16: {name} computes bf16, and OpenVINO is there"));
                self.push(Provider::OpenVino, Precision::Bf16);
            }
        }
        self.push(Provider::Cpu, Precision::F32);
    }

    fn named(&mut self, named: Named, here: &Availability<'_>) -> Result<(), PreferenceError> {
        let Named { provider, precision } = named;
        let bf16 = here.machine.has_bf16();
        match (provider, precision) {
            (Provider::OpenVino, Some(Precision::Bf16)) if !bf16 => {
                let variant = EngineVariant { provider, precision: Precision::Bf16 };
                return Err(PreferenceError::NoBf16 { variant, machine: here.machine.name().to_owned() });
            }
            (_, Some(precision)) => self.push(provider, precision),
            (Provider::OpenVino, None) => {
                self.push(provider, if bf16 { Precision::Bf16 } else { Precision::F32 });
            }
            // Half precision is tried first; where acceptance refuses it, full precision is next.
            (Provider::TensorRt { .. }, None) => {
                self.push(provider, Precision::F16);
                self.push(provider, Precision::F32);
            }
            (Provider::Cuda { .. } | Provider::Cpu | Provider::Tesseract, None) => {
                self.push(provider, Precision::F32);
            }
        }
        Ok(())
    }

    fn push(&mut self, provider: Provider, precision: Precision) {
        let variant = EngineVariant { provider, precision };
        if !self.variants.contains(&variant) {
            self.variants.push(variant);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn resolve(words: &[&str], bf16: bool, openvino: bool) -> Result<String, PreferenceError> {
        let machine = Machine::with_bf16(bf16);
        let here = Availability {
            machine: &machine,
            openvino_missing: (!openvino).then(|| "it is not there".to_owned()),
        };
        let hints: Vec<PreferredProvider> = words.iter().map(|word| word.parse().unwrap()).collect();
        ProviderPreference::resolve(&hints, &here).map(|preference| preference.to_string())
    }

    #[test]
    fn auto_selects_the_fastest_available_variant() {
        let check = |bf16, openvino, expect: &str| {
            assert_eq!(resolve(&["auto"], bf16, openvino).unwrap(), expect);
        };
        check(true, true, "openvino/bf16, cpu/f32");
        check(true, false, "cpu/f32");
        check(false, true, "openvino/f32, cpu/f32");
        check(false, false, "cpu/f32");
    }

    #[test]
    fn a_variant_that_auto_cannot_know_to_be_faster_is_measured() {
        let machine = Machine::with_bf16(false);
        let here = Availability { machine: &machine, openvino_missing: None };
        let measured = |words: &[&str]| {
            let hints: Vec<PreferredProvider> = words.iter().map(|word| word.parse().unwrap()).collect();
            ProviderPreference::resolve(&hints, &here).unwrap().measured.len()
        };
        assert_eq!(measured(&["auto"]), 1);
        assert_eq!(measured(&["openvino/f32", "auto"]), 0, "it was asked for by name");
        assert_eq!(measured(&["cpu"]), 0);
    }

    #[test]
    fn named_variants_keep_their_order_and_come_once() {
        let check = |words: &[&str], expect: &str| {
            assert_eq!(resolve(words, true, true).unwrap(), expect);
        };
        check(&["cpu"], "cpu/f32");
        check(&["openvino"], "openvino/bf16");
        check(&["openvino/f32", "openvino"], "openvino/f32, openvino/bf16");
        check(&["tensorrt", "cuda"], "tensorrt:0/f16, tensorrt:0/f32, cuda:0/f32");
        check(&["tensorrt:1/bf16", "auto", "cpu"], "tensorrt:1/bf16, openvino/bf16, cpu/f32");
        assert_eq!(resolve(&["openvino"], false, true).unwrap(), "openvino/f32");
        assert_eq!(resolve(&[], true, true), Err(PreferenceError::Empty));
        let error = resolve(&["openvino/bf16"], false, true).unwrap_err().to_string();
        assert!(error.contains("avx512_bf16") && error.contains("openvino/f32"), "{error}");
    }
}
