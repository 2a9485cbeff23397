//! What the processor can do, as far as engines depend on it.

use std::collections::BTreeSet;

/// Flags of `/proc/cpuinfo` by which compiled engines differ.
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

/// A processor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Machine {
    flags: BTreeSet<&'static str>,
    name: String,
}

impl Machine {
    /// This one.
    pub(crate) fn here() -> Self {
        // Where the kernel does not say (another system than Linux), nothing is assumed.
        Self::from_cpuinfo(&std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default())
    }

    fn from_cpuinfo(text: &str) -> Self {
        let value = |key: &str| {
            let line = text.lines().find(|line| line.split(':').next().is_some_and(|k| k.trim() == key));
            line.and_then(|line| line.split_once(':')).map(|(_, value)| value.trim()).unwrap_or_default()
        };
        let has: BTreeSet<&str> = value("flags").split_whitespace().collect();
        Self {
            flags: FLAGS.into_iter().filter(|flag| has.contains(flag)).collect(),
            name: value("model name").to_owned(),
        }
    }

    /// Whether bf16 is computed by the processor and not imitated.
    pub(crate) fn has_bf16(&self) -> bool {
        self.flags.contains("avx512_bf16") || self.flags.contains("amx_bf16")
    }

    /// For people.
    pub(crate) fn name(&self) -> &str {
        if self.name.is_empty() { "a processor of unknown name" } else { &self.name }
    }

    /// For the keys of engines: those of two machines with equal text may be exchanged.
    pub(crate) fn cpu_key(&self) -> String {
        let flags: Vec<&str> = self.flags.iter().copied().collect();
        format!("{} {}", std::env::consts::ARCH, flags.join(" "))
    }
}

#[cfg(test)]
impl Machine {
    /// One that has bf16 or has not.
    pub(crate) fn with_bf16(has: bool) -> Self {
        Self::from_cpuinfo(if has { "flags: avx512_bf16" } else { "flags: avx2" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_read_as_words() {
        let check = |flags: &str, bf16: bool| {
            let text = format!("processor\t: 0\nmodel name\t: Some: CPU\nflags\t\t: fpu {flags}\n");
            let machine = Machine::from_cpuinfo(&text);
            assert_eq!((machine.has_bf16(), machine.name()), (bf16, "Some: CPU"), "{flags}");
        };
        check("avx2 avx512f avx512_bf16", true);
        check("amx_tile amx_bf16", true);
        check("avx2 avx512_bf16x", false);
        assert_eq!(Machine::from_cpuinfo("").cpu_key(), format!("{} ", std::env::consts::ARCH));
        let machine = Machine::from_cpuinfo("flags: sse avx2 fma avx");
        assert_eq!(machine.cpu_key(), format!("{} avx avx2 fma", std::env::consts::ARCH));
    }
}
