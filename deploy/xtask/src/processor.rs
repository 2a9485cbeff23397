//! Processor features that steps and benchmarks depend on, by the same rule as the server's selection of engines.

use std::collections::BTreeSet;

/// The configuration key `engines.cpu_features` as a variable, read by servers, tests and benchmarks.
pub const FEATURES: &str = "LECTOR__ENGINES__CPU_FEATURES";
/// Hides every feature beyond AVX2.
pub const AVX2_ALONE: &str = "-avx512,-amx";

/// Returns the reason why bf16 engines do not run here; `None`: they do.
pub fn lacks_bf16() -> Option<String> {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let hidden = std::env::var_os(FEATURES).unwrap_or_default();
    reason(&cpuinfo, &hidden.to_string_lossy())
}

fn reason(cpuinfo: &str, hidden: &str) -> Option<String> {
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
    let flags: BTreeSet<&str> = flags.split_whitespace().collect();
    let present: Vec<(&str, &str)> = [("avx512", "avx512_bf16"), ("amx", "amx_bf16")]
        .into_iter()
        .filter(|(_, feature)| flags.contains(feature))
        .collect();
    if present.is_empty() {
        return Some("the processor has neither avx512_bf16 nor AMX".to_owned());
    }
    let words: BTreeSet<&str> = hidden.split(',').filter_map(|word| word.trim().strip_prefix('-')).collect();
    let is_hidden = |(family, feature): &(&str, &str)| words.contains(family) || words.contains(feature);
    present.iter().all(is_hidden).then(|| format!("{FEATURES}={hidden} hides the processor's bf16"))
}

#[cfg(test)]
mod tests {
    use super::reason;

    #[test]
    fn bf16_is_there_unless_it_is_lacking_or_hidden() {
        let check = |flags: &str, hidden: &str, expect: Option<&str>| {
            let reason = reason(&format!("model name: x\nflags\t\t: fpu {flags}\n"), hidden);
            assert_eq!(reason.is_some(), expect.is_some(), "{flags} {hidden}: {reason:?}");
            assert!(expect.is_none_or(|part| reason.unwrap_or_default().contains(part)), "{flags} {hidden}");
        };
        check("avx2", "", Some("neither"));
        check("avx2 avx512_bf16x", "", Some("neither"));
        check("avx512_bf16", "", None);
        check("amx_bf16", "auto", None);
        check("avx512_bf16 amx_bf16", "-avx512", None);
        check("avx512_bf16 amx_bf16", "-avx512_bf16, -amx", Some("hides"));
        check("avx512_bf16 amx_bf16", super::AVX2_ALONE, Some("hides"));
    }
}
