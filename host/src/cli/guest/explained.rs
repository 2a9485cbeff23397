//! Errors of the compiler and the linker that say little in many lines, explained in two.
//!
//! Recognizes dependencies that call a browser (`wasm-bindgen`) or have no random numbers (`getrandom` for another target), and
//! shortens the command line of the linker, which names a hundred files, to its last words.

/// Maximum lines of the linker's own message.
const LINKER_LINES_MAX: usize = 12;

/// Explanations that were shown in this build; each is shown once.
#[derive(Debug, Default)]
pub(super) struct Shown(Vec<&'static str>);

/// A cause that is recognized by words of the message.
struct Cause {
    words: &'static [&'static str],
    explanation: &'static str,
}

const CAUSES: [Cause; 3] = [
    Cause {
        words: &["__wbindgen"],
        explanation: "a dependency calls JavaScript by wasm-bindgen, and a guest runs in no browser: its component would import it.\n       \
                      `cargo tree --target wasm32-wasip2 --invert wasm-bindgen` names it; switch off its feature for browsers (`js`, `wasmbind`, `web`).",
    },
    Cause {
        words: &["getrandom-"],
        explanation: "getrandom has no random numbers for this target: another target than wasm32-wasip2 was chosen, or its feature `js` or `wasm_js`.\n       \
                      Build with `lector guest build`, whose target has them, and remove the feature.",
    },
    Cause {
        words: &["lector:ocr/pipeline"],
        explanation: "the crate exports no pipeline, or not all of it.\n       \
                      Write `lector_sdk::export!(YourPipeline);` once at the top level of src/lib.rs.",
    },
];

/// Returns what is shown of a diagnostic: `message` is its headline, `rendered` all of it.
pub(super) fn shown(message: &str, rendered: &str, before: &mut Shown) -> String {
    let links = message.starts_with("linking with ");
    // The first error of the crate names the target; those after it follow from it.
    let compiles_getrandom =
        rendered.contains("/getrandom-") && (message.contains("target") || !before.0.is_empty());
    if !links && !compiles_getrandom {
        return rendered.to_owned();
    }
    if let Some(cause) = CAUSES.iter().find(|cause| cause.words.iter().any(|word| rendered.contains(word))) {
        if before.0.contains(&cause.explanation) {
            return String::new();
        }
        before.0.push(cause.explanation);
        return format!("error: {}\n", cause.explanation);
    }
    if links { linker(message, rendered) } else { rendered.to_owned() }
}

/// Returns the message of a fault, with an explanation after it if it is that of a dependency for browsers: `wasm-bindgen`
/// compiles for the target of guests, and panics when it is called.
pub(super) fn fault(message: &str) -> String {
    match CAUSES.first().filter(|_| message.contains("wasm-bindgen imported function")) {
        Some(cause) => format!("{message}\nerror: {}", cause.explanation),
        None => message.to_owned(),
    }
}

/// Returns the headline of a failed link and the linker's own words, without its command line.
fn linker(message: &str, rendered: &str) -> String {
    let plain = without_colors(rendered);
    let own = plain.lines().map(str::trim).filter_map(|line| line.strip_prefix("= note: ").or(Some(line)));
    let own: Vec<&str> = own
        .filter(|line| {
            let is_command =
                line.contains("\"-flavor\"") || line.contains(".rcgu.o") || line.contains("LC_ALL=");
            let is_hint = line.starts_with("some arguments are omitted") || line.starts_with('|');
            !line.is_empty() && !is_command && !is_hint && !line.ends_with(message)
        })
        .collect();
    let last = own.get(own.len().saturating_sub(LINKER_LINES_MAX)..).unwrap_or_default();
    format!("error: {message}\n  {}\n", last.join("\n  "))
}

/// Removes the sequences that color a terminal.
fn without_colors(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut parts = text.split("\u{1b}[");
    plain.push_str(parts.next().unwrap_or_default());
    for part in parts {
        plain.push_str(part.split_once('m').map_or(part, |(_, rest)| rest));
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINK: &str = "linking with `wasm-component-ld` failed: exit status: 1";

    fn show(message: &str, rendered: &str) -> String {
        shown(message, rendered, &mut Shown::default())
    }

    #[test]
    fn a_dependency_for_browsers_is_explained_in_two_lines() {
        let command = format!(
            "  = note:  \"wasm-component-ld\" \"-flavor\" \"wasm\" {}",
            "\"/a/b.rcgu.o\" ".repeat(2000)
        );
        let cause = "module requires an import interface named `__wbindgen_placeholder__`";
        let rendered = format!(
            "error: {LINK}\n  |\n{command}\n  = note: error: failed to encode component\n\n{cause}\n"
        );
        let text = show(LINK, &rendered);
        assert!(
            text.starts_with("error: a dependency calls JavaScript")
                && text.contains("--invert wasm-bindgen"),
            "{text}"
        );
        assert_eq!(text.lines().count(), 2, "{text}");
    }

    #[test]
    fn getrandom_of_another_target_is_explained_once() {
        let message = "The wasm32-unknown-unknown targets are not supported by default; you may need to enable the feature.";
        let rendered = format!("error: {message}\n --> /registry/getrandom-0.3.4/src/backends.rs:168:9\n");
        let mut before = Shown::default();
        let text = shown(message, &rendered, &mut before);
        assert!(text.contains("getrandom has no random numbers") && text.lines().count() == 2, "{text}");
        let follows = "error[E0425]: cannot find function\n --> /registry/getrandom-0.3.4/src/lib.rs:1:1\n";
        assert_eq!(shown("cannot find function", follows, &mut before), "");
    }

    #[test]
    fn another_error_of_the_linker_loses_its_command_line() {
        let command =
            format!("  = note:  \"wasm-component-ld\" \"-flavor\" {}", "\"/a/b.rcgu.o\" ".repeat(2000));
        let rendered = format!(
            "\u{1b}[1merror\u{1b}[0m: {LINK}\n  |\n{command}\n  = note: some arguments are omitted. use `--verbose`\n  \
             = note: rust-lld: error: undefined symbol: answer\n"
        );
        let text = show(LINK, &rendered);
        assert_eq!(text, format!("error: {LINK}\n  rust-lld: error: undefined symbol: answer\n"));
    }

    #[test]
    fn a_missing_export_is_named() {
        let rendered = format!(
            "error: {LINK}\n  = note: error: module does not export `lector:ocr/pipeline@0.2.0#configure`\n"
        );
        assert!(show(LINK, &rendered).contains("lector_sdk::export!"));
    }

    #[test]
    fn a_call_of_a_browser_is_explained_when_it_panics() {
        let panic = "the guest panicked at lib.rs:1:1: cannot call wasm-bindgen imported functions on non-wasm targets";
        assert_eq!(fault(panic).lines().count(), 3);
        assert_eq!(fault("another fault"), "another fault");
    }

    #[test]
    fn other_diagnostics_stay_as_they_are() {
        for rendered in
            ["error[E0308]: mismatched types\n --> src/lib.rs:1:1\n", "warning: unused variable: `target`\n"]
        {
            let message = rendered.lines().next().unwrap_or_default();
            assert_eq!(show(message, rendered), rendered);
        }
    }
}
