//! The guides of the archive: documents of the repository, in the folders that they have there.
//!
//! Their links lead to files of the archive. A link to a file that only the repository has becomes plain text.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;

use crate::places::Places;
use crate::shell;
use crate::tidy::references::resolved;

/// Folder of the guides in the archive.
const FOLDER: &str = "share/doc";
/// Documents for operators, for authors of guests and for users of the API.
const GUIDES: [&str; 11] = [
    "CHANGELOG.md",
    "README.md",
    "deploy/README.md",
    "deploy/clients/python/README.md",
    "deploy/clients/typescript/README.md",
    "deploy/integrations/README.md",
    "deploy/integrations/ocrmypdf-lector/README.md",
    "guest/README.md",
    "host/SECURITY.md",
    "models/README.md",
    "wit/README.md",
];

/// Writes the guides below `folder`. `shipped`: the other files of the repository that the archive has, and their places in it.
pub(super) fn write(places: &Places, shipped: &[(&str, &str)], folder: &Path) -> Result<()> {
    let found = places_of(shipped);
    for guide in GUIDES {
        let text = relinked(guide, &shell::read(&places.repo(guide))?, &found);
        shell::write(&folder.join(place_of(guide)), text)?;
    }
    Ok(())
}

fn place_of(guide: &str) -> String {
    format!("{FOLDER}/{guide}")
}

/// Returns the places in the archive, by the path in the repository.
fn places_of(shipped: &[(&str, &str)]) -> BTreeMap<String, String> {
    let others = shipped.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned()));
    GUIDES.iter().map(|guide| ((*guide).to_owned(), place_of(guide))).chain(others).collect()
}

/// Returns the text of a guide with links for its place in the archive.
fn relinked(guide: &str, text: &str, found: &BTreeMap<String, String>) -> String {
    let parts = text.split("```").enumerate();
    // Every second part is a block of code.
    let relinked =
        parts.map(|(n, part)| if n % 2 == 0 { prose(guide, part, found) } else { part.to_owned() });
    relinked.collect::<Vec<_>>().join("```")
}

fn prose(guide: &str, text: &str, found: &BTreeMap<String, String>) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once("](") {
        let Some((target, behind)) = after.split_once(')') else { break };
        out.push_str(before);
        rest = behind;
        let file = target.split('#').next().unwrap_or_default();
        if file.is_empty() || target.contains("://") {
            out.push_str(&format!("]({target})"));
        } else if let Some(place) = found.get(&resolved(guide, file)) {
            let fragment = target.strip_prefix(file).unwrap_or_default();
            out.push_str(&format!("]({}{fragment})", relative(&place_of(guide), place)));
        } else if let Some(begin) = out.rfind('[') {
            out.remove(begin);
        }
    }
    out + rest
}

/// Returns the path of the file `to` as a link in the document `from` has it.
fn relative(from: &str, to: &str) -> String {
    let (from, to): (Vec<&str>, Vec<&str>) = (from.split('/').collect(), to.split('/').collect());
    let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = vec![".."; from.len().saturating_sub(shared + 1)];
    let down = to.into_iter().skip(shared);
    up.into_iter().chain(down).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::dist::contents::SHIPPED;

    #[test]
    fn links_lead_to_files_of_the_archive_or_become_text() {
        let found = places_of(&[("deploy/lector.toml", "etc/lector.toml"), ("LICENSE", "LICENSE")]);
        let check = |guide: &str, text: &str, expected: &str| {
            assert_eq!(relinked(guide, text, &found), expected, "{guide}");
        };
        check(
            "README.md",
            "[a](guest/README.md#x) and [b](LICENSE)",
            "[a](guest/README.md#x) and [b](../../LICENSE)",
        );
        check(
            "deploy/README.md",
            "[`lector.toml`](lector.toml)",
            "[`lector.toml`](../../../etc/lector.toml)",
        );
        check("deploy/README.md", "[a](../guest/README.md) [b](#c)", "[a](../guest/README.md) [b](#c)");
        check("README.md", "see [the\nchart](deploy/helm/lector/README.md).", "see the\nchart.");
        check("README.md", "[x](https://x.org/a) ![y](y.png)", "[x](https://x.org/a) !y");
        check("README.md", "```\na[0](gone.md)\n```\n[b](gone.md)", "```\na[0](gone.md)\n```\nb");
        check("README.md", "[a] (b) [c](", "[a] (b) [c](");
    }

    #[test]
    fn every_guide_is_there_and_its_links_are_too() {
        let (repository, found) = (Places::find().unwrap(), places_of(SHIPPED));
        for guide in GUIDES {
            let text = relinked(guide, &shell::read(&repository.repo(guide)).unwrap(), &found);
            let prose: String = text.split("```").step_by(2).collect();
            let targets =
                prose.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(target, _)| target));
            for target in targets.filter(|target| !target.starts_with('#') && !target.contains("://")) {
                let place = resolved(&place_of(guide), target.split('#').next().unwrap());
                assert!(found.values().any(|known| *known == place), "{guide}: {target} leads to {place}");
            }
        }
    }
}
