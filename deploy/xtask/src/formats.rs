//! The step `formats`: independent readers read a sample of every output format (`tests/formats`).

use std::process::Command;

use anyhow::Result;

use crate::places::Places;
use crate::setup::wheels::{self, Tags, Wanted, Wheel};
use crate::{python, shell};

/// Writes the samples and runs the check. Returns the reason if the readers cannot be installed.
pub fn run(places: &Places) -> Result<Option<String>> {
    let folder = places.repo("tests/formats");
    let readers = python::packages(places, "formats", &folder.join("requirements.txt"));
    let packages = match readers.and_then(|packages| schemas(places).map(|()| packages)) {
        Ok(packages) => packages,
        Err(error) => return Ok(Some(format!("{error:#}"))),
    };
    let mut build = shell::cargo();
    build.args(["build", "--release", "--locked", "--workspace", "--example", "formats", "--quiet"]);
    shell::run(build.current_dir(&places.root))?;
    let samples = places.repo("target/formats");
    shell::empty_folder(&samples)?;
    shell::run(Command::new(places.repo("target/release/examples/formats")).arg(&samples))?;
    let mut check = python::program(&folder.join("check.py"), &packages);
    check.arg(&samples).arg("--schemas").arg(schema_folder(places));
    println!("$ {}", shell::line(&check));
    shell::run(&mut check)?;
    Ok(None)
}

fn schema_folder(places: &Places) -> std::path::PathBuf {
    places.cache.join("schemas")
}

/// Takes the schema of PAGE from a package that has it.
fn schemas(places: &Places) -> Result<()> {
    let _lock = places.lock()?;
    let wheel = Wheel {
        package: "ocrd".to_owned(),
        version: "3.13.3".to_owned(),
        sha256: "77a688e6e018384e75bd72db9011061879425514fe5206fe858cdf1abec9380d".to_owned(),
        tags: Tags::Any,
    };
    wheels::unpack(
        places,
        &[Wanted {
            what: "schema of PAGE 2019-07-15".to_owned(),
            wheel,
            member: "ocrd_validators/page.xsd".to_owned(),
            sha256: "76159739b608bcc13c9166f5a58f515ed491f3024e8d1ef1c977856c3800ac0f".to_owned(),
            to: schema_folder(places).join("pagecontent.xsd"),
        }],
    )
}
