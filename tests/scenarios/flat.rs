//! Deploys leave nothing in memory.

use lector_tests::{Gateway, process};
use reqwest::Method;
use serde_json::json;

use crate::server::{ECHO_ONLY, ask, deploy, says, unseen, until};

/// The example guests, and the smallest guest of the tests. In the suite the first two are left out: each of their deploys
/// reads a page with five models.
const GUESTS: [&str; 4] = ["standard", "redact", "planned", "echo"];
/// Deploys of a guest before its memory is compared: engines, thread pools and the allocator have grown by then.
const WARM_UP: usize = 3;
/// Models of each alias that an example guest opens.
const GRANTS: [(&str, &str); 6] = [
    ("detection", "pp-ocrv6-tiny-det"),
    ("detection-tiny", "pp-ocrv6-tiny-det"),
    ("recognition", "pp-ocrv6-tiny-rec"),
    ("recognition-tiny", "pp-ocrv6-tiny-rec"),
    ("page-orientation", "page-orientation"),
    ("textline-orientation", "textline-orientation"),
];
/// Largest growth of a long run: less than the machine code of one example guest for every 20 deploys.
const GROWTH_MAX: u64 = 32 << 20;

/// Lets the tenant use the models.
const MODELS: &str = "[deployments.grants]\nmodel = \"pp-ocrv6-tiny-det\"\ndetection-tiny = \"pp-ocrv6-tiny-det\"\n\
                      recognition-tiny = \"pp-ocrv6-tiny-rec\"\ntextline-orientation = \"textline-orientation\"\n\
                      page-orientation = \"page-orientation\"\n";

/// Deploys each guest, reads a page with it and deletes it, again and again. `cargo xtask bench deploys` does it 500 times
/// for each and prints the memory; in the suite the number of mappings of machine code, which does not depend on the
/// allocator, is compared after a few.
#[tokio::test]
async fn deploys_of_each_example_guest_leave_nothing() {
    let strict = std::env::var_os("LECTOR_BENCH").is_some_and(|name| name == "deploys");
    let deploys = if strict { 500 } else { WARM_UP + 3 };
    let guests = if strict { &GUESTS[..] } else { &GUESTS[2..] };
    let grants: serde_json::Map<_, _> =
        GRANTS.iter().map(|(alias, model)| ((*alias).to_owned(), json!(model))).collect();
    let folder = tempfile::tempdir().unwrap();
    let gateway = Gateway::builder()
        .config(format!("{ECHO_ONLY}{MODELS}"))
        .set("log.filter", "error")
        .set("guests.code_cache_dir", folder.path().join("code").display())
        .start()
        .await;
    let components = async || {
        let metrics = gateway.get("/metrics").await.text();
        let line = metrics.lines().find(|line| line.starts_with("lector_components "));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<u32>().ok()).expect("the metric exists")
    };
    for &guest in guests {
        // Not the component of a configured deployment, which stays loaded.
        let wasm = unseen(guest, "flat");
        let (mut resident, mut mappings) = (Vec::new(), 0);
        for number in 1..=deploys {
            let grants = if guest == "echo" { json!({}) } else { json!(grants) };
            let mut options = json!({ "settings": {}, "grants": grants, "promote": true });
            if guest == "redact" {
                options = json!({ "settings": {}, "wraps": "echo", "promote": true });
            }
            let answer = deploy(&gateway, "", "flat", wasm.clone(), options).await;
            assert_eq!(answer.status, 201, "{guest}: {}", answer.text());
            says(&gateway, "", "flat", "").await.ok();
            let answer = ask(&gateway, "", Method::DELETE, "/api/v1/deployments/flat", None).await;
            assert!(answer.status < 300, "{guest}: {}", answer.text());
            // Freed with the last lease, in the background.
            until("the component is freed", async || components().await == 1).await;
            let mapped = process::code_mappings(gateway.pid());
            if number <= WARM_UP {
                mappings = mappings.max(mapped);
            } else {
                assert!(
                    mapped <= mappings + 2,
                    "{guest}, deploy {number}: {mapped} executable mappings, {mappings} before"
                );
            }
            if number == WARM_UP || number % 100 == 0 || number == deploys {
                resident.push((number, process::resident(gateway.pid())));
            }
        }
        let mib: Vec<String> =
            resident.iter().map(|(number, bytes)| format!("{} MiB after {number}", bytes >> 20)).collect();
        eprintln!("{guest:<9} {}", mib.join(", "));
        let (first, last) = (resident[0].1, resident[resident.len() - 1].1);
        assert!(
            !strict || last < first + GROWTH_MAX,
            "{guest}: {} MiB more",
            last.saturating_sub(first) >> 20
        );
    }
}
