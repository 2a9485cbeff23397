//! File descriptors of this process: raises their limit, and bounds the connections by it.
//!
//! A process without a free descriptor cannot refuse a connection, and fails in the middle of documents instead. The
//! bound on connections leaves room for all other files. Called once, by `lector serve`.

use anyhow::ensure;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Highest limit that is set: some systems allow a billion, and the kernel sizes tables by the limit.
const RAISED_MAX: u64 = 1 << 20;
/// Files of the server itself: libraries, models, the store, render workers, pipes, the log. An idle server has about 50
/// open.
const SERVER: u64 = 128;
/// Files of a document in flight: its bytes, the pixels of its pages, the channel to its worker.
const PER_DOCUMENT: u64 = 4;
/// Fewest connections with which a server starts.
const CONNECTIONS_MIN: u64 = 8;

/// Raises the limit of open files as far as the system allows, and returns it.
pub fn raise() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = maximum.unwrap_or(RAISED_MAX).min(RAISED_MAX);
    let now = current.unwrap_or(u64::MAX);
    if now >= wanted || setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum }).is_err() {
        return now;
    }
    wanted
}

/// Returns the number of connections that fit beside the other files of the server, at most `wanted`. Fails if fewer
/// than [`CONNECTIONS_MIN`] fit.
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
