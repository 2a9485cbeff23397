//! Commands and flags that were renamed in version 0.2. The error of an unknown command or flag names the new one.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::terminal;

/// Group, old verb, new verb.
const VERBS: &[(&str, &str, &str)] = &[
    ("keys", "make", "create"),
    ("models", "show", "get"),
    ("tenants", "put", "create"),
    ("tenants", "show", "get"),
];

/// Old flag, new flag.
const FLAGS: &[(&str, &str)] = &[
    ("--again", "--force"),
    ("--licence", "--license"),
    ("--rung", "--variant"),
    // Spans go to a collector now.
    ("--trace", "LECTOR__TRACES__ENDPOINT"),
    ("--watch-errors", "--rollback-error-rate"),
    ("--watch-p99-ms", "--rollback-p99-ms"),
    ("--watch-pages", "--rollback-pages-min"),
];

/// Ends the process with the error of the command line, or with the new name of a command or flag that was renamed.
pub(super) fn exit(error: &clap::Error) -> ! {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match hint(error, &arguments) {
        Some(hint) => {
            terminal::print_error(&hint);
            std::process::exit(2)
        }
        None => error.exit(),
    }
}

fn hint(error: &clap::Error, arguments: &[String]) -> Option<String> {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let (old, new) = match error.kind() {
        ErrorKind::InvalidSubcommand => {
            let verb = context(ContextKind::InvalidSubcommand)?;
            let within = |group: &str| arguments.iter().any(|argument| argument == group);
            let (group, old, new) = VERBS.iter().find(|(group, old, _)| *old == verb && within(group))?;
            (format!("lector {group} {old}"), format!("lector {group} {new}"))
        }
        ErrorKind::UnknownArgument => {
            let flag = context(ContextKind::InvalidArg)?;
            let (old, new) = FLAGS.iter().find(|(old, _)| *old == flag)?;
            ((*old).to_owned(), (*new).to_owned())
        }
        _ => return None,
    };
    Some(format!("`{old}` was renamed to `{new}` in 0.2"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use clap::{CommandFactory, Parser};

    use super::super::Cli;
    use super::*;

    fn hint_for(line: &[&str]) -> Option<String> {
        let arguments: Vec<String> = line.iter().map(|word| (*word).to_owned()).collect();
        let error = Cli::try_parse_from(std::iter::once("lector").chain(line.iter().copied())).err()?;
        hint(&error, &arguments)
    }

    #[test]
    fn old_verbs_name_the_new_ones_and_these_exist() {
        let cli = Cli::command();
        for (group, old, new) in VERBS {
            let expected = format!("`lector {group} {old}` was renamed to `lector {group} {new}` in 0.2");
            assert_eq!(hint_for(&[group, old, "name"]), Some(expected));
            let group = cli.find_subcommand(group).unwrap();
            assert!(group.find_subcommand(new).is_some(), "there is no `{new}`");
            assert!(group.find_subcommand(old).is_none(), "`{old}` is still there");
        }
    }

    #[test]
    fn old_flags_name_the_new_ones() {
        let check = |line: &[&str], new: &str| {
            let hint = hint_for(line).unwrap_or_else(|| panic!("no hint for {line:?}"));
            assert!(hint.ends_with(&format!("was renamed to `{new}` in 0.2")), "{hint}");
        };
        check(&["promote", "standard", "--watch-errors", "0.1"], "--rollback-error-rate");
        check(&["canary", "standard", "5", "--watch-p99-ms", "9"], "--rollback-p99-ms");
        check(&["deploy", "-d", "standard", "--watch-pages", "9"], "--rollback-pages-min");
        check(&["engines", "build", "--all", "--rung", "cpu/f32"], "--variant");
        check(&["engines", "build", "--all", "--again"], "--force");
        check(&["models", "add", "m.onnx", "--name", "m", "--licence", "MIT"], "--license");
    }

    #[test]
    fn unknown_names_have_no_hint() {
        assert_eq!(hint_for(&["keys", "forge"]), None);
        assert_eq!(hint_for(&["promote", "standard", "--nothing"]), None);
    }
}
