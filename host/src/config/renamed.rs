//! Configuration keys that were renamed in version 0.2. The error of an unknown key names the new key.

/// Old key, new key. Both are dotted, as in `--set`.
const KEYS: &[(&str, &str)] = &[("platform.engine_linger_s", "platform.engine_idle_ttl_s")];

/// Returns the new name of a key that was renamed.
pub(super) fn new_name(key: &str) -> Option<&'static str> {
    KEYS.iter().find(|(old, _)| *old == key).map(|(_, new)| *new)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::super::layers::{leaves, table_of};
    use super::super::raw::RawConfig;
    use super::super::tests::load;
    use super::*;

    #[test]
    fn old_keys_are_unknown_and_new_keys_exist() {
        let known = leaves("", &table_of(&RawConfig::default()).unwrap());
        for (old, new) in KEYS {
            assert!(!known.iter().any(|key| key == old), "`{old}` is still a key");
            assert!(known.iter().any(|key| key == new), "`{new}` is not a key");
        }
    }

    #[test]
    fn the_error_names_the_new_key_whatever_the_source() {
        for (old, new) in KEYS {
            let (table, name) = old.rsplit_once('.').unwrap();
            let variable = format!("LECTOR__{}", old.to_uppercase().replace('.', "__"));
            let file = load(&format!("[{table}]\n{name} = 1\n"), &[], &[]);
            let environment = load("", &[(&variable, "1")], &[]);
            let flag = load("", &[], &[(old, "1")]);
            for error in [file, environment, flag].map(|loaded| loaded.unwrap_err().to_string()) {
                assert!(error.contains(&format!("`{old}` was renamed to `{new}` in 0.2")), "{error}");
            }
        }
    }
}
