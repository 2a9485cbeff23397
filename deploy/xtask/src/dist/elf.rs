//! What the programs and libraries of a release need from the system: libraries, and versions of their symbols.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shell;

/// Libraries that PEP 600 expects on every system; a release brings everything else.
const OF_THE_SYSTEM: [&str; 10] = [
    "ld-linux-x86-64.so.2",
    "libc.so.6",
    "libdl.so.2",
    "libgcc_s.so.1",
    "libm.so.6",
    "libpthread.so.0",
    "libresolv.so.2",
    "librt.so.1",
    "libstdc++.so.6",
    "libutil.so.1",
];

/// What ELF files need.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Needs {
    /// Highest version of each family of symbols: `GLIBC` to `[2, 34]`, and the first file that needs it.
    pub(super) versions: BTreeMap<String, (Vec<u32>, String)>,
    /// Names of libraries, and the first file that needs each.
    libraries: BTreeMap<String, String>,
    /// Names of the libraries among the files.
    own: BTreeSet<String>,
}

impl Needs {
    /// Reads every ELF file of a folder. Needs `objdump`.
    pub(super) fn of_folder(folder: &Path) -> Result<Self> {
        let mut needs = Self::default();
        for file in shell::files_below(folder)? {
            if is_elf(&file)? {
                let text = shell::output(Command::new("objdump").arg("--private-headers").arg(&file))?;
                let name = file.file_name().unwrap_or_default().to_string_lossy();
                needs.add(&name, &text);
            }
        }
        Ok(needs)
    }

    /// Adds the private headers of a file, as objdump prints them.
    fn add(&mut self, file: &str, headers: &str) {
        self.own.insert(file.to_owned());
        let mut of_others = false;
        for line in headers.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                ["NEEDED", library] => {
                    self.libraries.entry((*library).to_owned()).or_insert_with(|| file.to_owned());
                }
                // The versions that the file itself defines are listed in the same form, without `required from`.
                ["required", "from", ..] => of_others = true,
                ["Version", "References:"] | ["Version", "definitions:"] => of_others = false,
                [_, _, _, symbol] if of_others => self.version(file, symbol),
                _ => {}
            }
        }
    }

    /// Counts `GLIBC_2.34`. Names without a number, such as `GLIBC_PRIVATE`, are no version.
    fn version(&mut self, file: &str, symbol: &str) {
        let Some((family, number)) = symbol.rsplit_once('_') else { return };
        let Ok(number) = number.split('.').map(str::parse).collect::<Result<Vec<u32>, _>>() else { return };
        let highest = self.versions.entry(family.to_owned()).or_default();
        if number > highest.0 {
            *highest = (number, file.to_owned());
        }
    }

    /// Returns the platform tag of a wheel: the oldest glibc that has the symbols. Error: a library that neither the system
    /// nor the release has.
    pub(super) fn platform_tag(&self) -> Result<String> {
        for (library, file) in &self.libraries {
            if !OF_THE_SYSTEM.contains(&library.as_str()) && !self.own.contains(library) {
                bail!("{file} needs {library}, which is neither in the release nor on every system");
            }
        }
        match self.versions.get("GLIBC").map(|(version, _)| version.as_slice()) {
            Some([2, minor, ..]) => Ok(format!("manylinux_2_{minor}_x86_64")),
            other => bail!("the files need no version 2 of glibc: {other:?}"),
        }
    }

    /// Returns a line for people: the highest versions, and what needs them.
    pub(super) fn shown(&self) -> String {
        let one = |(family, (version, file)): (&String, &(Vec<u32>, String))| {
            let version: Vec<String> = version.iter().map(u32::to_string).collect();
            format!("{family} {} ({file})", version.join("."))
        };
        self.versions.iter().map(one).collect::<Vec<_>>().join(", ")
    }
}

fn is_elf(file: &Path) -> Result<bool> {
    let mut magic = [0; 4];
    let mut open = File::open(file).with_context(|| format!("cannot open {}", file.display()))?;
    match open.read_exact(&mut magic) {
        Ok(()) => Ok(magic == *b"\x7fELF"),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    const HEADERS: &str = "
Dynamic Section:
  NEEDED               libc.so.6
  NEEDED               libown.so.1
  SONAME               lector

Version definitions:
1 0x01 0x0865f4e6 OWN_9.9

Version References:
  required from libc.so.6:
    0x06969194 0x00 14 GLIBC_2.14
    0x069691b4 0x00 12 GLIBC_2.34
    0x09691a75 0x00 11 GLIBC_PRIVATE
    0x0d696912 0x00 13 GLIBC_2.2.5
  required from libstdc++.so.6:
    0x02297f89 0x00 09 GLIBCXX_3.4.9
    0x02297f70 0x00 10 GLIBCXX_3.4.29
";

    #[test]
    fn the_highest_versions_decide_the_tag() {
        let mut needs = Needs::default();
        needs.add("lector", HEADERS);
        let error = needs.platform_tag().unwrap_err().to_string();
        assert!(error.contains("lector needs libown.so.1"), "{error}");
        needs.add(
            "libown.so.1",
            "  required from libc.so.6:\n    0x1 0x00 1 GLIBC_2.28\n  NEEDED  libm.so.6\n",
        );
        assert_eq!(needs.platform_tag().unwrap(), "manylinux_2_34_x86_64");
        assert_eq!(needs.shown(), "GLIBC 2.34 (lector), GLIBCXX 3.4.29 (lector)");
    }

    #[test]
    fn a_release_without_glibc_has_no_tag() {
        assert!(Needs::default().platform_tag().is_err());
    }
}
