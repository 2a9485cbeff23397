//! Old names of benchmarks, workloads and options: the error of an old name contains the new one.

use clap::error::{ContextKind, ContextValue, Error, ErrorKind};

const RENAMED: [(&str, &str); 8] = [
    ("company", "cobatch"),
    ("neighbours", "misbehaving-guests"),
    ("load steady", "load concurrency"),
    ("load neighbour", "load noisy-neighbor"),
    ("load plan", "load batching-policy"),
    ("load seeds", "load pdf-batches"),
    ("floor --seats", "floor --session-layouts"),
    ("gpu-check --rungs", "gpu-check --variants"),
];

/// Lists the old and the new names.
pub fn help() -> String {
    let names = RENAMED.map(|(old, new)| format!("  {old} -> {new}"));
    format!("Renamed:\n{}", names.join("\n"))
}

/// Adds the new name to the error of an old one.
pub fn explain(error: Error) -> Error {
    let kinds = [ContextKind::InvalidSubcommand, ContextKind::InvalidValue, ContextKind::InvalidArg];
    let wrong = kinds.into_iter().filter_map(|kind| match error.get(kind) {
        Some(ContextValue::String(wrong)) => Some(wrong.as_str()),
        _ => None,
    });
    let last = |names: &'static str| names.rsplit(' ').next();
    let found = wrong.filter_map(|wrong| RENAMED.iter().find(|(old, _)| last(old) == Some(wrong))).next();
    match found {
        Some((old, new)) => Error::raw(ErrorKind::InvalidValue, format!("`{old}` is named `{new}`\n")),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use clap::Parser;

    use super::*;
    use crate::Arguments;

    #[test]
    fn an_old_name_is_an_error_that_says_the_new_one() {
        for (old, new) in RENAMED {
            let parse =
                |names: &str| Arguments::try_parse_from(["bench"].into_iter().chain(names.split(' '))).err();
            let error = explain(parse(old).unwrap()).to_string();
            assert!(error.contains(new), "{old}: {error}");
            assert!(parse(new).is_none_or(|error| !error.to_string().contains("unexpected")), "{new}");
        }
        let other = Arguments::try_parse_from(["bench", "nothing"]).err().unwrap();
        assert!(!explain(other).to_string().contains("is named"));
    }
}
