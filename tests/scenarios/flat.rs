//! Deploys leave nothing behind: in memory, of machine code, or on the disk.

use std::path::Path;

use lector_tests::{Gateway, process};
use reqwest::Method;
use serde_json::json;

use crate::server::{ECHO_ONLY, ask, deploy, says, unseen, until};

/// The example guests, and the smallest guest of the tests. In the suite the first two are left out: each of their deploys
/// reads a page with five models.
const GUESTS: [&str; 4] = ["standard", "redact", "planned", "echo"];
/// Deploys of a guest in the suite; each deployment is deleted.
const DEPLOYS_SHORT: usize = 6;
/// Deploys before the comparison in the suite, and in a long run: engines, thread pools and the allocator have grown by then,
/// and a long run keeps as many revisions as it ever will.
const WARM_UP_SHORT: usize = 3;
const WARM_UP: usize = 100;
/// Builds of a guest that a long run deploys in turn: more than the revisions that a deployment keeps, so that each deploy
/// stores a component and deletes another one.
const BUILDS: usize = 80;
/// Revisions that a deployment keeps: 50, those of the last 16 routes, and the live one.
const REVISIONS_KEPT: usize = 67;
/// Deploys between two lines of a long run.
const LINE_EVERY: usize = 50;
/// Largest slope of the memory of a long run after its warm-up: a twentieth of the machine code of an example guest for each
/// deploy.
const GROWTH_MAX_KIB: f64 = 64.0;
/// Models of each alias that an example guest opens.
const GRANTS: [(&str, &str); 6] = [
    ("detection", "pp-ocrv6-tiny-det"),
    ("detection-tiny", "pp-ocrv6-tiny-det"),
    ("recognition", "pp-ocrv6-tiny-rec"),
    ("recognition-tiny", "pp-ocrv6-tiny-rec"),
    ("page-orientation", "page-orientation"),
    ("textline-orientation", "textline-orientation"),
];

/// Lets the tenant use the models.
const MODELS: &str = "[deployments.grants]\nmodel = \"pp-ocrv6-tiny-det\"\ndetection-tiny = \"pp-ocrv6-tiny-det\"\n\
                      recognition-tiny = \"pp-ocrv6-tiny-rec\"\ntextline-orientation = \"textline-orientation\"\n\
                      page-orientation = \"page-orientation\"\n";

/// The server after a number of deploys.
struct Look {
    deploys: usize,
    resident_kib: u64,
    mappings: usize,
    components_stored: usize,
}

fn look(gateway: &Gateway, deploys: usize) -> Look {
    Look {
        deploys,
        resident_kib: process::resident(gateway.pid()) >> 10,
        mappings: process::code_mappings(gateway.pid()),
        components_stored: files(&gateway.data().join("components")),
    }
}

/// Returns the number of files below a folder.
fn files(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| if entry.path().is_dir() { files(&entry.path()) } else { 1 }).sum()
}

/// Returns the growth of the memory in KiB for each deploy, by least squares.
fn slope_kib(looks: &[Look]) -> f64 {
    let count = looks.len() as f64;
    let mean = |of: fn(&Look) -> f64| looks.iter().map(of).sum::<f64>() / count;
    let (deploys, resident) = (mean(|look| look.deploys as f64), mean(|look| look.resident_kib as f64));
    let with = |look: &Look| (look.deploys as f64 - deploys, look.resident_kib as f64 - resident);
    let covariance: f64 = looks.iter().map(with).map(|(x, y)| x * y).sum();
    let variance: f64 = looks.iter().map(with).map(|(x, _)| x * x).sum();
    if variance > 0.0 { covariance / variance } else { 0.0 }
}

#[test]
fn the_slope_is_that_of_the_line() {
    let look =
        |deploys: usize, resident_kib: u64| Look { deploys, resident_kib, mappings: 0, components_stored: 0 };
    let looks: Vec<Look> = (0..5).map(|at| look(at * 50, 1_000 + 100 * at as u64)).collect();
    assert!((slope_kib(&looks) - 2.0).abs() < 1e-9);
    assert_eq!(slope_kib(&looks[..1]), 0.0);
}

/// Deploys each guest and reads a page with it, again and again. `cargo xtask bench deploys` does it 500 times for each, with
/// another build each time, and prints memory, mappings of machine code and stored components: as many of each stay as
/// revisions are kept, and none when the deployment is deleted. In the suite the deployment is deleted each time, and the
/// number of mappings, which does not depend on the allocator, is compared after a few.
#[tokio::test]
async fn deploys_of_each_example_guest_leave_nothing() {
    let long: Option<usize> =
        std::env::var_os("LECTOR_BENCH_DEPLOYS").and_then(|count| count.to_str()?.parse().ok());
    let guests = if long.is_some() { &GUESTS[..] } else { &GUESTS[2..] };
    let grants: serde_json::Map<_, _> =
        GRANTS.iter().map(|(alias, model)| ((*alias).to_owned(), json!(model))).collect();
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::builder()
        .config(format!("{ECHO_ONLY}{MODELS}"))
        .set("log.filter", "error")
        .set("guests.code_cache_dir", folder.path().join("code").display())
        .start()
        .await;
    let loaded = async || {
        let metrics = gateway.get("/metrics").await.text();
        let line = metrics.lines().find(|line| line.starts_with("lector_components "));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<u32>().ok()).expect("the metric exists")
    };
    let stored = async || files(&gateway.data().join("components"));
    let delete = async || {
        let answer = ask(&gateway, "", Method::DELETE, "/api/v1/deployments/flat", None).await;
        assert!(answer.status < 300, "{}", answer.text());
        // Freed with the last lease, and deleted from the disk, in the background.
        until("the component is freed", async || loaded().await == 1 && stored().await == 1).await;
    };
    let mut wrong = Vec::new();
    for &guest in guests {
        // Not the component of a configured deployment, which stays loaded.
        let builds = if long.is_some() { BUILDS } else { 1 };
        let builds: Vec<Vec<u8>> = (0..builds).map(|build| unseen(guest, &format!("flat{build}"))).collect();
        let mut looks: Vec<Look> = Vec::new();
        for number in 1..=long.unwrap_or(DEPLOYS_SHORT) {
            let grants = if guest == "echo" { json!({}) } else { json!(grants) };
            let mut options = json!({ "settings": {}, "grants": grants, "promote": true });
            if guest == "redact" {
                options = json!({ "settings": {}, "wraps": "echo", "promote": true });
            }
            let wasm = builds[number % builds.len()].clone();
            let answer = deploy(&gateway, "", "flat", wasm, options).await;
            assert_eq!(answer.status, 201, "{guest}: {}", answer.text());
            says(&gateway, "", "flat", "").await.ok();
            if long.is_none() {
                delete().await;
                looks.push(look(&gateway, number));
            } else if number % LINE_EVERY == 0 {
                looks.push(look(&gateway, number));
                let Look { resident_kib, mappings, components_stored, .. } = looks[looks.len() - 1];
                eprintln!(
                    "{guest:<9}{number:>5} deploys: RSS {:>5} MiB, {mappings:>3} code mappings, \
                     {components_stored:>3} components stored",
                    resident_kib >> 10
                );
            }
        }
        let warm = if long.is_some() { WARM_UP } else { WARM_UP_SHORT };
        let (before, after): (Vec<Look>, Vec<Look>) =
            looks.into_iter().partition(|look| look.deploys <= warm);
        let mappings = before.iter().map(|look| look.mappings).max().unwrap_or(0);
        for Look { deploys, mappings: mapped, components_stored, .. } in &after {
            if *mapped > mappings + 2 {
                wrong.push(format!("{guest}, deploy {deploys}: {mapped} code mappings, {mappings} before"));
            }
            if *components_stored > REVISIONS_KEPT + 5 {
                wrong.push(format!("{guest}, deploy {deploys}: {components_stored} components stored"));
            }
        }
        if long.is_some() {
            let slope = slope_kib(&after);
            delete().await;
            let left = look(&gateway, 0);
            eprintln!(
                "{guest:<9} {slope:.1} KiB more for each deploy; deleted: RSS {} MiB, {} code mappings, {} component",
                left.resident_kib >> 10,
                left.mappings,
                left.components_stored
            );
            if slope > GROWTH_MAX_KIB {
                wrong.push(format!("{guest}: {slope:.1} KiB more for each deploy, at most {GROWTH_MAX_KIB}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
