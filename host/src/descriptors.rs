//! File descriptors of this process: as many as the system allows, and connections no more than they bear.
//!
//! A process without a free descriptor cannot even refuse a connection, and what fails then is a document in the middle of
//! its reading. So the bound on connections leaves room for everything else. Called once, by `lector serve`.

use anyhow::ensure;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Beyond this nothing is gained; some systems allow a billion, and tables are sized by it.
const RAISED_MAX: u64 = 1 << 20;
/// Libraries, models, the store, render workers, pipes, the log: 50 or so are open in an idle house.
const SERVER: u64 = 128;
/// A document's bytes, its pages' pixels, a worker's channel.
const PER_DOCUMENT: u64 = 4;
/// Fewer connections than this are no server.
const CONNECTIONS_MIN: u64 = 8;

/// Raises the limit of open files as far as is allowed, and gives it.
pub fn raise() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.unwrap_or(RAISED_MAX).min(RAISED_MAX);
    let now = current.unwrap_or(u64::MAX);
    if now >= wanted || setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).is_err() {
        return now;
    }
    wanted
}

/// How many connections fit beside the house's own descriptors: `wanted` of them, or fewer. An error where hardly any do.
pub fn connections_within(limit: u64, wanted: usize, documents_max: usize) -> anyhow::Result<usize> {
    let documents = (documents_max as u64).saturating_mul(PER_DOCUMENT);
    let room = limit.saturating_sub(SERVER.saturating_add(documents));
    ensure!(
        room >= CONNECTIONS_MIN,
        "the process may open {limit} files, and {SERVER} and {PER_DOCUMENT} for each of {documents_max} documents are needed \
         beside connections: raise the limit (`ulimit -n`, LimitNOFILE), or lower platform.documents_max"
    );
    Ok(usize::try_from(room).unwrap_or(usize::MAX).min(wanted))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn connections_leave_room_for_the_rest() {
        assert_eq!(connections_within(1 << 20, 1024, 64).unwrap(), 1024);
        assert_eq!(connections_within(1024, 1024, 64).unwrap(), 1024 - 128 - 256);
        assert!(connections_within(256, 1024, 64).unwrap_err().to_string().contains("ulimit -n"));
        assert!(connections_within(u64::MAX, 7, usize::MAX).is_err());
    }

    #[test]
    fn the_limit_is_raised_once() {
        let raised = raise();
        assert!(raised > 0);
        assert_eq!(raise(), raised);
    }
}
