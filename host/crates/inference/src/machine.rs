//! The processor's features, as far as engines depend on them.

use std::collections::BTreeSet;

/// Flags of `/proc/cpuinfo` on which compiled engines depend.
const FLAGS: [&str; 13] = [
    "avx",
    "avx2",
    "fma",
    "avx512f",
    "avx512bw",
    "avx512_vnni",
    "avx_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "amx_tile",
    "amx_bf16",
    "amx_int8",
    "amx_fp16",
];

/// Families of features: hiding one hides all features whose names begin with it.
const FAMILIES: [&str; 2] = ["avx512", "amx"];

/// The processor features that Lector may use: all features of the processor, less the hidden ones. A feature that the
/// processor lacks cannot be added: engines built for it would compute wrong results or crash.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CpuFeatures {
    hidden: BTreeSet<String>,
}

/// A word of `engines.cpu_features` that cannot be applied.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{word}` cannot be applied; known are `auto` (the detected features) and `-NAME` (hides a feature), NAME one of: {}, {}",
    FAMILIES.join(", "), FLAGS.join(", ")
)]
pub struct UnknownCpuFeature {
    word: String,
}

impl CpuFeatures {
    /// Parses the words of the configuration: `auto` changes nothing, `-NAME` hides a feature or a family of features.
    pub fn parse<T: AsRef<str>>(words: &[T]) -> Result<Self, UnknownCpuFeature> {
        let mut hidden = BTreeSet::new();
        for word in words.iter().map(AsRef::as_ref) {
            match word.strip_prefix('-') {
                None if word == "auto" => {}
                Some(name) if FLAGS.contains(&name) || FAMILIES.contains(&name) => {
                    hidden.insert(name.to_owned());
                }
                _ => return Err(UnknownCpuFeature { word: word.to_owned() }),
            }
        }
        Ok(Self { hidden })
    }

    fn hides(&self, flag: &str) -> bool {
        self.hidden.contains(flag)
            || FAMILIES.iter().any(|family| flag.starts_with(family) && self.hidden.contains(*family))
    }
}

/// A processor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Machine {
    flags: BTreeSet<&'static str>,
    /// Features that the processor has and the configuration hides.
    hidden: BTreeSet<&'static str>,
    name: String,
}

impl Machine {
    /// Detects the processor of this machine, and hides the features that the configuration hides.
    pub(crate) fn detect(features: &CpuFeatures) -> Self {
        // Where the kernel does not list features (other systems than Linux), none are assumed.
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        Self::from_cpuinfo(&cpuinfo, features)
    }

    fn from_cpuinfo(text: &str, features: &CpuFeatures) -> Self {
        let value = |key: &str| {
            let line = text.lines().find(|line| line.split(':').next().is_some_and(|k| k.trim() == key));
            line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim()).unwrap_or_default()
        };
        let has: BTreeSet<&str> = value("flags").split_whitespace().collect();
        let present = FLAGS.into_iter().filter(|flag| has.contains(flag));
        let (hidden, flags): (BTreeSet<_>, BTreeSet<_>) = present.partition(|flag| features.hides(flag));
        let name = match value("model name") {
            "" => "a processor of unknown name",
            name => name,
        };
        let name = if hidden.is_empty() {
            name.to_owned()
        } else {
            format!("{name} (engines.cpu_features hides {})", joined(&hidden, " "))
        };
        Self { flags, hidden, name }
    }

    /// Returns whether the processor computes bf16 natively.
    pub(crate) fn has_bf16(&self) -> bool {
        self.flags.contains("avx512_bf16") || self.flags.contains("amx_bf16")
    }

    /// Returns the name for messages, with the hidden features.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the text for the keys of engines: machines with equal text may exchange engines. It names the hidden
    /// features: the runtimes detect the processor by themselves and may use them, so an engine built while features
    /// were hidden fits neither a machine that lacks them nor one that does not hide them.
    pub(crate) fn cpu_key(&self) -> String {
        let mut key = format!("{} {}", std::env::consts::ARCH, joined(&self.flags, " "));
        for flag in &self.hidden {
            key.push_str(" -");
            key.push_str(flag);
        }
        key
    }
}

fn joined(flags: &BTreeSet<&'static str>, separator: &str) -> String {
    flags.iter().copied().collect::<Vec<_>>().join(separator)
}

#[cfg(test)]
impl Machine {
    /// Returns a machine with or without bf16.
    pub(crate) fn with_bf16(has: bool) -> Self {
        let cpuinfo = if has { "flags: avx512_bf16" } else { "flags: avx2" };
        Self::from_cpuinfo(cpuinfo, &CpuFeatures::default())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn flags_are_read_as_words() {
        let check = |flags: &str, bf16: bool| {
            let text = format!("processor\t: 0\nmodel name\t: Some: CPU\nflags\t\t: fpu {flags}\n");
            let machine = detected(&text);
            assert_eq!((machine.has_bf16(), machine.name()), (bf16, "Some: CPU"), "{flags}");
        };
        check("avx2 avx512f avx512_bf16", true);
        check("amx_tile amx_bf16", true);
        check("avx2 avx512_bf16x", false);
        assert_eq!(detected("").cpu_key(), format!("{} ", std::env::consts::ARCH));
        let machine = detected("flags: sse avx2 fma avx");
        assert_eq!(machine.cpu_key(), format!("{} avx avx2 fma", std::env::consts::ARCH));
    }

    fn detected(cpuinfo: &str) -> Machine {
        Machine::from_cpuinfo(cpuinfo, &CpuFeatures::default())
    }

    #[test]
    fn hidden_features_are_not_counted_on_and_mark_the_key() {
        const CPUINFO: &str = "model name: CPU\nflags: avx2 avx512f avx512_bf16 amx_tile amx_bf16";
        let check = |words: &[&str], bf16: bool, key: &str| {
            let machine = Machine::from_cpuinfo(CPUINFO, &CpuFeatures::parse(words).unwrap());
            assert_eq!(machine.has_bf16(), bf16, "{words:?}");
            assert_eq!(machine.cpu_key(), format!("{} {key}", std::env::consts::ARCH), "{words:?}");
            machine.name().to_owned()
        };
        assert_eq!(check(&[], true, "amx_bf16 amx_tile avx2 avx512_bf16 avx512f"), "CPU");
        assert_eq!(check(&["auto"], true, "amx_bf16 amx_tile avx2 avx512_bf16 avx512f"), "CPU");
        check(&["-amx"], true, "avx2 avx512_bf16 avx512f -amx_bf16 -amx_tile");
        let name =
            check(&["-avx512_bf16", "-amx_bf16"], false, "amx_tile avx2 avx512f -amx_bf16 -avx512_bf16");
        assert_eq!(name, "CPU (engines.cpu_features hides amx_bf16 avx512_bf16)");
        check(&["-avx512", "-amx"], false, "avx2 -amx_bf16 -amx_tile -avx512_bf16 -avx512f");
        // A feature that the processor lacks is not hidden, and the engines are the same.
        check(&["-avx512_fp16"], true, "amx_bf16 amx_tile avx2 avx512_bf16 avx512f");
    }

    #[test]
    fn features_can_only_be_hidden_by_their_names() {
        for word in ["avx512_bf16", "+avx512_bf16", "-", "-sse", "-avx512_bf", ""] {
            let error = CpuFeatures::parse(&[word]).unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{word}`")) && error.contains("avx512_bf16"), "{error}");
        }
    }
}
