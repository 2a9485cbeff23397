//! Inspection of a component from its bytes alone: nothing is compiled, linked or run.

use lector_core::{Fault, Kind};
use sha2::{Digest, Sha256};
use wasmparser::{Encoding, Parser, Payload};

use crate::log::printable;

/// The interface that makes a component a guest, without its version.
const PIPELINE: &str = "lector:ocr/pipeline";
/// Version of the contract that this host implements; its text is in `wit/`.
pub const WORLD_VERSION: &str = "0.2.0";
/// The interface of a guest with its own batching policy, without its version.
const BATCHING: &str = "lector:ocr/batching";
/// Prefix of the versions that only add to this contract.
const WORLD_SERIES: &str = "0.2.";
/// Package of the options of requests, which versions apart from the contract; and the prefix of the versions that this host
/// serves.
const OPTIONS: &str = "lector:options/";
const OPTIONS_SERIES: &str = "0.1.";
/// The interface of a guest that describes its options, without its version.
const OPTIONS_SCHEMA: &str = "lector:options/schema";
/// Packages of the contract and the interfaces that guests may import. `pipeline` is that of a wrapped deployment.
const OWN: [(&str, &[&str]); 4] = [
    ("lector:types/", &["errors", "geometry"]),
    ("lector:inference/", &["tensors", "models"]),
    ("lector:image/", &["images"]),
    (
        "lector:ocr/",
        &["model", "document", "pipeline-types", "pipeline", "log", "trace", "settings", "budget"],
    ),
];
/// WASI 0.2 packages and the interfaces that guests may import. All are linked; files, network and environment are
/// present but empty.
const WASI: [(&str, &[&str]); 6] = [
    (
        "wasi:cli/",
        &[
            "environment",
            "exit",
            "stdin",
            "stdout",
            "stderr",
            "terminal-input",
            "terminal-output",
            "terminal-stdin",
            "terminal-stdout",
            "terminal-stderr",
        ],
    ),
    ("wasi:clocks/", &["monotonic-clock", "wall-clock"]),
    ("wasi:filesystem/", &["types", "preopens"]),
    ("wasi:io/", &["error", "poll", "streams"]),
    ("wasi:random/", &["random", "insecure", "insecure-seed"]),
    (
        "wasi:sockets/",
        &[
            "network",
            "instance-network",
            "ip-name-lookup",
            "tcp",
            "tcp-create-socket",
            "udp",
            "udp-create-socket",
        ],
    ),
];

/// Maximum imports and exports of a component, each. The contract and WASI have about 40 interfaces.
const NAMES_MAX: usize = 1000;
/// Maximum length of the name of an import or export, in bytes. An interface's name is below 100.
const NAME_BYTES_MAX: usize = 512;
/// Maximum nesting of components and modules. A composition nests a few levels.
const DEPTH_MAX: u32 = 32;
/// Maximum names in a message; a component chooses them and their number.
const NAMES_SHOWN_MAX: usize = 8;
/// Maximum length of a cause in a message, in bytes: the parser quotes names of the component.
const CAUSE_BYTES_MAX: usize = 1024;

/// Description of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// SHA-256 of the bytes, in hex.
    pub sha256: String,
    /// Size of the component in bytes.
    pub bytes: u64,
    /// Names of its imports, in their order in the component.
    pub imports: Vec<String>,
    /// Names of its exports, in their order in the component.
    pub exports: Vec<String>,
    /// Version of the `lector:ocr` contract whose pipeline it exports; `None` if it exports none.
    pub world: Option<String>,
    /// Imports that this host does not have.
    pub unknown_imports: Vec<String>,
}

impl Inspection {
    /// Returns whether it wraps the pipeline of another deployment.
    pub fn wraps(&self) -> bool {
        self.imports
            .iter()
            .any(|name| name.split_once('@').is_some_and(|(interface, _)| interface == PIPELINE))
    }

    /// Returns whether it exports a batching policy of a version that this host supports.
    pub fn has_batching_policy(&self) -> bool {
        self.exports.iter().any(|name| {
            name.split_once('@').is_some_and(|(interface, version)| {
                interface == BATCHING && version.starts_with(WORLD_SERIES)
            })
        })
    }

    /// Returns whether it describes options of its own.
    pub fn has_options(&self) -> bool {
        self.options_version().is_some()
    }

    /// Returns the version of the schema that it exports.
    fn options_version(&self) -> Option<&str> {
        self.exports.iter().find_map(|name| {
            let (interface, version) = name.split_once('@')?;
            (interface == OPTIONS_SCHEMA).then_some(version)
        })
    }

    /// Checks, by its names, whether this host can run it.
    pub fn check(&self) -> Result<(), Fault> {
        match &self.world {
            None => {
                return Err(invalid(
                    "component_world_mismatch",
                    format!("the component exports no {PIPELINE}@{WORLD_VERSION}: it is not a Lector guest"),
                ));
            }
            Some(found) if !found.starts_with(WORLD_SERIES) => {
                return Err(invalid(
                    "component_world_mismatch",
                    format!(
                        "the component is made for {PIPELINE}@{found}, and this host serves {WORLD_VERSION}: rebuild it against \
                         {WORLD_VERSION} (CHANGELOG.md lists what changed), or use a host that serves {found}"
                    ),
                ));
            }
            Some(_) => {}
        }
        // Options that no client could send would be a surprise for each of them.
        if let Some(found) = self.options_version().filter(|found| !found.starts_with(OPTIONS_SERIES)) {
            let message = format!(
                "the component exports {OPTIONS_SCHEMA}@{found}, and this host serves {OPTIONS_SERIES}x: rebuild it, or use a \
                 host that serves {found}"
            );
            return Err(invalid("component_world_mismatch", message));
        }
        if self.unknown_imports.is_empty() {
            return Ok(());
        }
        let shown: Vec<String> = self
            .unknown_imports
            .iter()
            .take(NAMES_SHOWN_MAX)
            .map(|name| printable(name, NAME_BYTES_MAX))
            .collect();
        let more = match self.unknown_imports.len().saturating_sub(NAMES_SHOWN_MAX) {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        Err(invalid(
            "component_import_unknown",
            format!(
                "the component imports interfaces that this host does not have: {}{more}; this host offers \
                 lector:ocr@{WORLD_VERSION} and WASI 0.2",
                shown.join(", ")
            ),
        ))
    }
}

fn invalid(code: &'static str, message: impl Into<String>) -> Fault {
    Fault::new(Kind::Invalid, code, message)
}

/// Reads the names in a component.
///
/// # Errors
///
/// `Invalid` for a core module, for bytes that are not a component, and for a component with more names or nesting than
/// any guest has.
pub fn inspect(wasm: &[u8]) -> Result<Inspection, Fault> {
    if Parser::is_core_wasm(wasm) {
        return Err(invalid(
            "component_is_core_module",
            "this is a core WebAssembly module, not a component; link it with wasm-component-ld, or wrap it with \
             `wasm-tools component new`",
        ));
    }
    let broken = |cause: &dyn std::fmt::Display| {
        let cause = printable(&cause.to_string(), CAUSE_BYTES_MAX);
        invalid("component_invalid", format!("the bytes are not a complete WebAssembly component: {cause}"))
    };
    let few = |what: &str, count: u32| match count as usize {
        0..=NAMES_MAX => Ok(()),
        count => Err(invalid(
            "component_invalid",
            format!("the component has {count} {what}, and this host accepts at most {NAMES_MAX}"),
        )),
    };
    if !Parser::is_component(wasm) {
        return Err(broken(&"the header is missing"));
    }
    let (mut imports, mut exports) = (Vec::new(), Vec::new());
    // Components and modules nest; only the names of the outermost component are the guest's.
    let mut depth = 0u32;
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.map_err(|e| broken(&e))? {
            Payload::Version { encoding: Encoding::Component | Encoding::Module, .. } => {
                depth += 1;
                if depth > DEPTH_MAX {
                    let message = format!("the component nests more than {DEPTH_MAX} components and modules");
                    return Err(invalid("component_invalid", message));
                }
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            // A component may have many sections of a kind, so the names are counted and not only the items.
            Payload::ComponentImportSection(section) if depth == 1 => {
                few("imports", section.count())?;
                for import in section {
                    imports.push(named(import.map_err(|e| broken(&e))?.name.name)?);
                }
                few("imports", u32::try_from(imports.len()).unwrap_or(u32::MAX))?;
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                few("exports", section.count())?;
                for export in section {
                    exports.push(named(export.map_err(|e| broken(&e))?.name.name)?);
                }
                few("exports", u32::try_from(exports.len()).unwrap_or(u32::MAX))?;
            }
            _ => {}
        }
    }
    let world = exports.iter().find_map(|name| {
        let (interface, version) = name.split_once('@')?;
        (interface == PIPELINE).then(|| version.to_owned())
    });
    let unknown_imports = imports.iter().filter(|name| !is_known(name)).cloned().collect();
    let sha256 = base16ct::lower::encode_string(&Sha256::digest(wasm));
    Ok(Inspection { sha256, bytes: wasm.len() as u64, imports, exports, world, unknown_imports })
}

/// Returns the name of an import or export; fails if it is longer than any interface's, or not printable.
fn named(name: &str) -> Result<String, Fault> {
    if name.len() > NAME_BYTES_MAX {
        let message = format!(
            "an import or export of the component has a name of {} bytes, and this host accepts at most {NAME_BYTES_MAX}",
            name.len()
        );
        return Err(invalid("component_invalid", message));
    }
    let shown = printable(name, usize::MAX);
    if shown != name {
        let message =
            format!("an import or export of the component has a name with control characters: {shown}");
        return Err(invalid("component_invalid", message));
    }
    Ok(shown)
}

/// Checks the size of a component against the limit of this host.
pub fn within(bytes: u64, bytes_max: u64) -> Result<(), Fault> {
    if bytes <= bytes_max {
        return Ok(());
    }
    let message = format!("the component has {bytes} bytes, and this host accepts at most {bytes_max}");
    Err(Fault::new(Kind::TooLarge, "component_too_large", message))
}

/// Returns whether the linker has an interface of that name. Versions match as in the linker: any 0.2.x of the
/// contract, any 0.1.x of the options, any 0.2.x of WASI.
fn is_known(import: &str) -> bool {
    let Some((interface, version)) = import.split_once('@') else { return false };
    let among = |packages: &[(&str, &[&str])]| {
        packages
            .iter()
            .any(|(package, names)| interface.strip_prefix(package).is_some_and(|name| names.contains(&name)))
    };
    (version.starts_with(WORLD_SERIES) && among(&OWN))
        || (version.starts_with(OPTIONS_SERIES) && among(&[(OPTIONS, &["options"])]))
        || (version.starts_with("0.2.") && among(&WASI))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_by_interface_and_series() {
        let check = |name: &str, expect: bool| assert_eq!(is_known(name), expect, "{name}");
        check("lector:image/images@0.2.0", true);
        check("lector:image/images@0.2.3", true);
        check("lector:image/images@0.3.0", false);
        check("lector:ocr/image@0.1.0", false);
        check("lector:ocr/pipeline@0.2.0", true);
        check("lector:ocr/batching@0.2.0", false);
        check("lector:options/options@0.1.0", true);
        check("lector:options/options@0.2.0", false);
        check("lector:options/schema@0.1.0", false);
        check("wasi:io/poll@0.2.6", true);
        check("wasi:io/poll@0.3.0", false);
        check("wasi:http/types@0.2.0", false);
        check("wasi:io/pollution@0.2.0", false);
        check("host", false);
    }

    #[test]
    fn options_of_another_version_are_refused() {
        let with = |exports: &[&str]| Inspection {
            sha256: String::new(),
            bytes: 0,
            imports: Vec::new(),
            exports: exports.iter().map(|&name| name.to_owned()).collect(),
            world: Some(WORLD_VERSION.to_owned()),
            unknown_imports: Vec::new(),
        };
        let pipeline = "lector:ocr/pipeline@0.2.0";
        assert!(!with(&[pipeline]).has_options());
        let known = with(&[pipeline, "lector:options/schema@0.1.3"]);
        assert!(known.has_options() && known.check().is_ok());
        let fault = with(&[pipeline, "lector:options/schema@0.2.0"]).check().err();
        assert!(fault.is_some_and(|fault| fault.message.contains("lector:options/schema@0.2.0")));
    }
}
