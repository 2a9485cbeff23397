//! The open connections, bounded in number and shared by client addresses.
//!
//! Owns the bound and the choice of the connection that makes room. While the table has room, every client gets a slot,
//! up to the bound of one address. When it is full, a connection without a request in progress is closed for the new
//! one: a client that opens connections and sends nothing, or sends its head slowly, displaces only its own kind. A
//! connection with a request in progress is never closed, and a response is in progress until its last byte has left the
//! process. Independent of HTTP and of the sockets.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

/// Time without a request after which a connection may be closed for another one of the same or a less busy address. A
/// client on a slow link sends its head within this time.
const IDLE_MIN: Duration = Duration::from_secs(1);

/// Time after the end of the last request for which bytes that have not left the process keep the connection. Few are left:
/// the buffers of the protocol. A client that reads them more slowly must not hold its place with them.
const FLUSH_MAX: Duration = Duration::from_secs(30);

/// The client address that limits apply to. An IPv6 client usually has a whole /64 network.
pub(super) fn client_address(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 => v4,
    }
}

/// The address of the client of a request, for limits by address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) IpAddr);

/// The requests in progress on one connection.
#[derive(Debug)]
pub(super) struct Activity {
    opened: Instant,
    requests: AtomicUsize,
    /// Time at which the last request ended, in microseconds since `opened`.
    idle_since_us: AtomicU64,
    /// Whether bytes were written that have not left the process.
    unflushed: AtomicBool,
}

impl Activity {
    fn new(opened: Instant) -> Arc<Self> {
        Arc::new(Self {
            opened,
            requests: AtomicUsize::new(0),
            idle_since_us: AtomicU64::new(0),
            unflushed: AtomicBool::new(false),
        })
    }

    /// Returns the activity of a connection outside of the table.
    pub(super) fn detached() -> Arc<Self> {
        Self::new(Instant::now())
    }

    /// Returns whether no request is in progress.
    pub(super) fn is_idle(&self) -> bool {
        self.idle_since(Instant::now()).is_some()
    }

    /// Returns the end of the last request; `None` while there is one, or while its response has not left the process.
    fn idle_since(&self, now: Instant) -> Option<Instant> {
        let since = self.opened + Duration::from_micros(self.idle_since_us.load(Relaxed));
        let is_flushed = !self.unflushed.load(Relaxed) || now.saturating_duration_since(since) >= FLUSH_MAX;
        (is_flushed && self.requests.load(Relaxed) == 0).then_some(since)
    }

    /// Records that bytes were written, which may wait in this process.
    pub(super) fn written(&self) {
        self.unflushed.store(true, Relaxed);
    }

    /// Records that all written bytes have left the process.
    pub(super) fn flushed(&self) {
        self.unflushed.store(false, Relaxed);
    }
}

/// A request in progress on a connection, until it is dropped.
#[derive(Debug)]
pub(super) struct OnConnection(Arc<Activity>);

impl OnConnection {
    pub(super) fn begin(activity: &Arc<Activity>) -> Self {
        activity.requests.fetch_add(1, Relaxed);
        Self(activity.clone())
    }
}

impl Clone for OnConnection {
    fn clone(&self) -> Self {
        Self::begin(&self.0)
    }
}

impl Drop for OnConnection {
    fn drop(&mut self) {
        let since = u64::try_from(self.0.opened.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.0.idle_since_us.store(since, Relaxed);
        self.0.requests.fetch_sub(1, Relaxed);
    }
}

#[derive(Debug)]
struct Entry {
    address: IpAddr,
    activity: Arc<Activity>,
    evicted: CancellationToken,
}

#[derive(Debug, Default)]
struct Entries {
    by_number: HashMap<u64, Entry>,
    by_address: HashMap<IpAddr, usize>,
    next: u64,
}

impl Entries {
    fn held(&self, address: IpAddr) -> usize {
        self.by_address.get(&address).copied().unwrap_or(0)
    }

    fn remove(&mut self, number: u64) {
        let Some(entry) = self.by_number.remove(&number) else { return };
        if let Some(count) = self.by_address.get_mut(&entry.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.by_address.remove(&entry.address);
            }
        }
    }

    /// Returns the idle connection that makes room for one of `address`: of the address with the most connections, the
    /// one that is idle for the longest time. If that address has no more than `address` itself, it must have been idle
    /// for [`IDLE_MIN`]. `only`: connections of `address` alone.
    fn victim(&self, address: IpAddr, only: bool, now: Instant) -> Option<u64> {
        let own = self.held(address);
        let idle = self.by_number.iter().filter_map(|(number, entry)| {
            let since = entry.activity.idle_since(now)?;
            if only && entry.address != address {
                return None;
            }
            let held = self.held(entry.address);
            let waited = now.saturating_duration_since(since) >= IDLE_MIN;
            (held > own || waited).then_some((held, std::cmp::Reverse(since), *number))
        });
        idle.max().map(|(.., number)| number)
    }
}

/// The table. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct ConnectionTable {
    entries: Arc<Mutex<Entries>>,
    /// Shared by the clones: a reload of the configuration replaces them.
    bounds: Arc<Bounds>,
}

#[derive(Debug)]
struct Bounds {
    connections_max: AtomicUsize,
    per_address_max: AtomicUsize,
}

/// A slot of the table, until it is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    table: ConnectionTable,
    number: u64,
    /// The requests in progress.
    pub(super) activity: Arc<Activity>,
    /// Canceled when the connection must close to make room.
    pub(super) evicted: CancellationToken,
}

impl ConnectionTable {
    pub(super) fn new(connections_max: usize, per_address_max: usize) -> Self {
        let bounds = Bounds {
            connections_max: AtomicUsize::new(connections_max),
            per_address_max: AtomicUsize::new(per_address_max),
        };
        Self { entries: Arc::default(), bounds: Arc::new(bounds) }
    }

    /// Replaces the bounds. Connections beyond a lower bound stay.
    pub(super) fn rebound(&self, connections_max: usize, per_address_max: usize) {
        self.bounds.connections_max.store(connections_max, Relaxed);
        self.bounds.per_address_max.store(per_address_max, Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a slot to a connection of `address`, if necessary that of an idle connection, which is closed. Returns
    /// `None` if all connections that could make room have requests in progress.
    pub(super) fn enter(&self, address: IpAddr, now: Instant) -> Option<Slot> {
        self.enter_within(address, self.bounds.per_address_max.load(Relaxed), now)
    }

    /// Like [`enter`](Self::enter), with another bound on the connections of the address.
    pub(super) fn enter_within(&self, address: IpAddr, own_max: usize, now: Instant) -> Option<Slot> {
        let mut entries = self.lock();
        let at_own_limit = entries.held(address) >= own_max;
        if at_own_limit || entries.by_number.len() >= self.bounds.connections_max.load(Relaxed) {
            let victim = entries.victim(address, at_own_limit, now)?;
            if let Some(entry) = entries.by_number.get(&victim) {
                entry.evicted.cancel();
            }
            entries.remove(victim);
        }
        let number = entries.next;
        entries.next += 1;
        let (activity, evicted) = (Activity::new(now), CancellationToken::new());
        let entry = Entry { address, activity: activity.clone(), evicted: evicted.clone() };
        entries.by_number.insert(number, entry);
        *entries.by_address.entry(address).or_default() += 1;
        drop(entries);
        Some(Slot { table: self.clone(), number, activity, evicted })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // Without effect if the connection was closed to make room.
        self.table.lock().remove(self.number);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([127, 0, 0, last])
    }

    /// A clock that starts now; entries compare with it only.
    fn at(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    #[test]
    fn slow_heads_displace_each_other_and_nobody_else() {
        let start = Instant::now();
        let table = ConnectionTable::new(8, 6);
        let attack: Vec<Slot> = (0..6).map(|n| table.enter(address(2), at(start, n)).unwrap()).collect();
        assert!(
            table.enter(address(2), at(start, 10)).is_none(),
            "at the bound of one address, none is idle for long"
        );
        let again = table.enter(address(2), at(start, 1500)).unwrap();
        assert!(attack[0].evicted.is_cancelled(), "the longest idle connection of the same address");
        let victims: Vec<Slot> =
            (0..4).map(|n| table.enter(address(1), at(start, 1600 + n)).unwrap()).collect();
        assert!(attack[1].evicted.is_cancelled() && attack[2].evicted.is_cancelled());
        assert!(victims.iter().chain([&again]).all(|slot| !slot.evicted.is_cancelled()));
        drop((attack, again, victims));
        let entries = table.lock();
        assert!(entries.by_number.is_empty() && entries.by_address.is_empty());
    }

    #[test]
    fn a_connection_with_a_request_is_never_closed() {
        let start = Instant::now();
        let table = ConnectionTable::new(3, 3);
        let busy: Vec<Slot> = (0..3).map(|_| table.enter(address(2), start).unwrap()).collect();
        let requests: Vec<_> = busy.iter().map(|slot| OnConnection::begin(&slot.activity)).collect();
        let copy = requests[1].clone();
        assert!(table.enter(address(1), at(start, 5000)).is_none());
        drop(requests);
        assert!(!busy[1].activity.is_idle() && busy[0].activity.is_idle());
        assert!(table.enter(address(1), at(start, 5000)).is_some());
        assert!(!busy[1].evicted.is_cancelled());
        drop(copy);
    }

    #[test]
    fn a_connection_whose_response_is_not_flushed_is_closed_late() {
        let start = Instant::now();
        let table = ConnectionTable::new(1, 1);
        let slot = table.enter(address(2), start).unwrap();
        let request = OnConnection::begin(&slot.activity);
        slot.activity.written();
        drop(request);
        assert!(!slot.activity.is_idle() && table.enter(address(1), at(start, 5000)).is_none());
        slot.activity.flushed();
        assert!(slot.activity.is_idle());
        slot.activity.written();
        // A client that does not read the rest loses its place, later.
        let other = table.enter(address(1), Instant::now() + 2 * FLUSH_MAX);
        assert!(other.is_some() && slot.evicted.is_cancelled());
    }

    #[test]
    fn new_bounds_apply_to_new_connections() {
        let start = Instant::now();
        let table = ConnectionTable::new(1, 1);
        let first = table.enter(address(1), start).unwrap();
        let _request = OnConnection::begin(&first.activity);
        assert!(table.enter(address(2), at(start, 1)).is_none());
        table.clone().rebound(3, 2);
        let more = [1, 2].map(|last| table.enter(address(last), at(start, 2)).unwrap());
        let _requests = more.each_ref().map(|slot| OnConnection::begin(&slot.activity));
        table.rebound(1, 1);
        assert!(table.enter(address(3), at(start, 3)).is_none());
        assert!(!first.evicted.is_cancelled());
    }

    #[test]
    fn many_addresses_with_one_connection_each_do_not_shut_out_a_new_one() {
        let start = Instant::now();
        let table = ConnectionTable::new(4, 4);
        let attack: Vec<Slot> = (10..14).map(|last| table.enter(address(last), start).unwrap()).collect();
        let new = table.enter(address(1), at(start, 1)).unwrap();
        assert_eq!(attack.iter().filter(|slot| slot.evicted.is_cancelled()).count(), 1);
        assert!(!new.evicted.is_cancelled());
    }

    #[test]
    fn limits_apply_to_a_network_of_ipv6() {
        let check = |text: &str, expect: &str| {
            assert_eq!(client_address(text.parse().unwrap()), expect.parse::<IpAddr>().unwrap(), "{text}");
        };
        check("192.0.2.7", "192.0.2.7");
        check("::ffff:192.0.2.7", "192.0.2.7");
        check("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::");
    }
}
