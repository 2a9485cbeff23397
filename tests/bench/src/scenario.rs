//! Measurements that are scenarios of the integration tests in their long form: real gateway, real guests, and what is
//! promised asserted to the letter. In the suite the same scenarios run short and hold to looser bounds.

use anyhow::{Context, Result};
use xtask::places::Places;
use xtask::shell;

/// Slowdown of a tenant by guests that misbehave; fails where the median ratio of a misbehavior is over 1.5.
pub fn misbehaving_guests(places: &Places) -> Result<()> {
    run(places, "misbehaving-guests", "hostile::a_neighbour_does_not_notice")
}

/// A thousand swaps under the load of twenty clients; fails on a lost or mixed document, or a late first page.
pub fn swap(places: &Places) -> Result<()> {
    run(places, "swap", "swap::a_thousand_swaps_lose_nothing")
}

/// Time of a deploy, and memory and start of a server with 200 revisions; fails where a deploy takes longer than promised.
pub fn deploys(places: &Places) -> Result<()> {
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
