//! Measurements that are scenarios of the integration tests in their long form: real gateway, real guests, and what is
//! promised asserted to the letter. In the suite the same scenarios run short and hold to looser bounds.

use anyhow::{Context, Result};

use crate::places::Places;
use crate::shell;

/// What a well-behaved tenant notices of guests that do wrong; fails where the median ratio of a deed is over 1.5.
pub fn neighbours(places: &Places) -> Result<()> {
    run(places, "neighbours", "hostile::a_neighbour_does_not_notice")
}

/// A thousand swaps under the load of twenty clients; fails on a lost or mixed document, or a late first page.
pub fn swap(places: &Places) -> Result<()> {
    run(places, "swap", "swap::a_thousand_swaps_lose_nothing")
}

/// What a deploy takes, what 200 revisions cost, and what pages notice of a compile; fails where a deploy or a page takes
/// longer than is promised.
pub fn deploys(places: &Places) -> Result<()> {
    run(places, "deploys", "deploys::traffic_does_not_wait_for_a_compile")?;
    run(places, "deploys", "resident::a_deploy_and_a_house_of_many_revisions")
}

fn run(places: &Places, name: &str, test: &str) -> Result<()> {
    shell::run(
        shell::cargo()
            .args(["test", "--release", "--locked", "--workspace", "--test", "scenarios", "--quiet", "--"])
            .args(["--nocapture", "--exact", test])
            .env("LECTOR_BENCH", name)
            .current_dir(&places.root),
    )
    .with_context(|| format!("`bench {name}`: what is promised is not kept, or the measurement failed"))
}
