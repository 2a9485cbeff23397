//! The bill of materials, in CycloneDX 1.6: crates with their digests, libraries and models with those of their wheels,
//! guests with their own.
//!
//! Written here and not by a tool: those for cargo know the crates alone, and the rest would have to be merged in.

use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::licenses;
use super::packages::{Package, Packages, VERSION};
use crate::places::Places;
use crate::setup::wheels::Wheel;
use crate::shell;

/// Returns the document. It has no serial number and no time: both would differ between two builds of one commit.
pub(super) fn text(places: &Places, packages: &Packages, guests: &[PathBuf]) -> Result<String> {
    let mut components: Vec<Value> = Vec::new();
    components.extend(packages.all.values().filter(|package| package.id() != packages.program).map(of_crate));
    components.extend(licenses::wheels_of(places)?.iter().map(of_wheel));
    for guest in guests {
        let name = guest.file_stem().context("a guest has no name")?.to_string_lossy().into_owned();
        components.push(json!({
            "type": "application",
            "bom-ref": format!("guest:{name}"),
            "name": format!("guest {name}"),
            "version": VERSION,
            "hashes": [{ "alg": "SHA-256", "content": shell::sha256(guest)? }],
        }));
    }
    let dependencies: Vec<Value> = packages
        .all
        .values()
        .map(|package| {
            json!({ "ref": reference(package), "dependsOn": package.uses.iter().map(|id| format!("cargo:{id}")).collect::<Vec<_>>() })
        })
        .collect();
    let document = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": { "component": {
            "type": "application",
            "bom-ref": format!("cargo:{}", packages.program),
            "name": "lector",
            "version": VERSION,
            "licenses": [{ "expression": "Apache-2.0" }],
        }},
        "components": components,
        "dependencies": dependencies,
    });
    Ok(serde_json::to_string_pretty(&document).context("writing the bill of materials")? + "\n")
}

fn reference(package: &Package) -> String {
    format!("cargo:{}", package.id())
}

fn of_crate(package: &Package) -> Value {
    let mut component = json!({
        "type": "library",
        "bom-ref": reference(package),
        "name": package.name,
        "version": package.version,
    });
    if !package.license.is_empty() {
        component["licenses"] = json!([{ "expression": package.license }]);
    }
    if let Some(sha256) = &package.sha256 {
        component["hashes"] = json!([{ "alg": "SHA-256", "content": sha256 }]);
        component["purl"] = json!(format!("pkg:cargo/{}@{}", package.name, package.version));
    }
    component
}

fn of_wheel(wheel: &Wheel) -> Value {
    json!({
        "type": "library",
        "bom-ref": format!("pypi:{}@{}", wheel.package, wheel.version),
        "name": wheel.package,
        "version": wheel.version,
        "purl": format!("pkg:pypi/{}@{}", wheel.package, wheel.version),
        "hashes": [{ "alg": "SHA-256", "content": wheel.sha256 }],
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn crates_have_the_digest_of_their_package() {
        let mut package = Package {
            name: "used".into(),
            version: "1.0.0".into(),
            license: "MIT OR Apache-2.0".into(),
            folder: PathBuf::new(),
            sha256: Some("aa".into()),
            uses: BTreeSet::new(),
        };
        let component = of_crate(&package);
        assert_eq!(component["purl"], "pkg:cargo/used@1.0.0");
        assert_eq!(component["licenses"][0]["expression"], "MIT OR Apache-2.0");
        package.sha256 = None;
        package.license.clear();
        let own = of_crate(&package);
        assert!(own.get("purl").is_none() && own.get("licenses").is_none(), "{own}");
    }
}
