//! A start-time fair queue: items of several clients, taken out by the clients' shares.
//!
//! The client with the earliest virtual time is served first; at equal times, the client that was served longest ago.
//! [`Order`] orders the items of one client. Items belong to a [`Class`], and the caller of [`FairQueue::pop`] names
//! the classes that it takes. One queue can thus hold back one kind of work (opens while too many run) or put it behind
//! all other work (background).
//!
//! Pure, without a lock. Used by [`FairSemaphore`](super::FairSemaphore), by the document pool and by admission.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Excluded, Unbounded};

use super::held::Held;
use super::shares::{Shares, Tag};
use crate::id::TenantName;

/// Returns the client that gives up an item of a full queue for an item of `newcomer`: the one with the most waiting items
/// for its weight, where that is more than `newcomer` would have. A client that fills a queue thus displaces its own items,
/// and a displaced client cannot displace in return. `waiting`: each client with its weight and its number of items.
pub fn displaceable<'a, K: PartialEq + 'a>(
    waiting: impl IntoIterator<Item = (&'a K, u32, usize)>,
    newcomer: (&K, u32),
) -> Option<&'a K> {
    // Compares `items / weight` without a division.
    let product = |items: usize, weight: u32| items as u128 * u128::from(weight.max(1));
    let more = |a: (u32, usize), b: (u32, usize)| product(a.1, b.0).cmp(&product(b.1, a.0));
    let (mut most, mut own): (Option<(&K, u32, usize)>, usize) = (None, 0);
    for (client, weight, items) in waiting {
        if client == newcomer.0 {
            own = items;
        }
        if most.is_none_or(|(_, of, count)| more((weight, items), (of, count)).is_gt()) {
            most = Some((client, weight, items));
        }
    }
    let (client, weight, items) = most.filter(|(client, ..)| *client != newcomer.0)?;
    more((weight, items), (newcomer.1, own + 1)).is_gt().then_some(client)
}

/// Number of classes.
pub const CLASSES: usize = 3;

const ALL: [Class; CLASSES] = [0, 1, 2];

/// Class of an item, below [`CLASSES`] (a greater number counts as the last class).
pub type Class = usize;

/// Position of an item among the items of its client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Before all items of other orders, behind earlier `First` items.
    First,
    /// In order of arrival.
    #[default]
    Arrival,
    /// Behind up to this many items that arrive later. The bound prevents starvation.
    Behind(u32),
}

/// Position of a waiting item, used to cancel it. Dropping the ticket does not cancel the item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket<K = TenantName> {
    client: K,
    class: Class,
    position: Position,
}

/// The charge of a client for an item; used to refund it.
#[derive(Clone, Debug, PartialEq)]
pub struct Charge<K = TenantName> {
    /// The client.
    pub client: K,
    /// Its weight.
    pub weight: u32,
    /// The cost, in milliseconds of work.
    pub cost_ms: f64,
}

/// An item that was taken out of the queue, and its charge.
#[derive(Debug)]
pub struct Popped<K, T> {
    /// Charge that was already applied to the client.
    pub charge: Charge<K>,
    /// The item.
    pub item: T,
}

/// Order among a client's items: `First` items, then by position, then by arrival. `number` identifies the item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Position {
    later: bool,
    at: u64,
    number: u64,
}

/// Order among clients: by virtual time, then by the time at which the client was served last or began to wait.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank<K> {
    start: Tag,
    since: u64,
    client: K,
}

#[derive(Debug)]
struct Entry<T> {
    weight: u32,
    cost_ms: f64,
    item: T,
}

/// A client that has items waiting.
#[derive(Debug)]
struct Client<T> {
    start: Tag,
    since: u64,
    /// Number of items pushed since the client began to wait.
    pushed: u64,
    items: [BTreeMap<Position, Entry<T>>; CLASSES],
}

/// Queue of items in fair order. Every operation takes `O(log n)` amortized in the number of waiting clients and items;
/// [`FairQueue::pop_where`] adds one such step for each client that it skips.
#[derive(Debug)]
pub struct FairQueue<K, T> {
    shares: Shares<K>,
    clients: BTreeMap<K, Client<T>>,
    /// Clients with items, by class.
    ranks: [BTreeSet<Rank<K>>; CLASSES],
    held: Held<K, Rank<K>>,
    len: usize,
    /// Increasing counter; identifies items and orders clients.
    number: u64,
}

impl<K, T> Default for FairQueue<K, T> {
    fn default() -> Self {
        Self::with_shares(Shares::default())
    }
}

impl<K, T> FairQueue<K, T> {
    /// Creates an empty queue with these clocks.
    pub fn with_shares(shares: Shares<K>) -> Self {
        Self {
            shares,
            clients: BTreeMap::new(),
            ranks: Default::default(),
            held: Held::default(),
            len: 0,
            number: 0,
        }
    }

    /// Returns the number of waiting items.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns whether no item waits.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl<K: Ord + Clone, T> FairQueue<K, T> {
    /// Adds an item with its expected cost. The client is charged when the item is taken out.
    pub fn push(&mut self, charge: Charge<K>, class: Class, order: Order, item: T) -> Ticket<K> {
        let Charge { client: key, weight, cost_ms } = charge;
        let class = class.min(CLASSES - 1);
        self.number += 1;
        let (start, since) = (Tag(self.shares.start_of(&key)), self.number);
        let held = &mut self.held;
        let client = self.clients.entry(key.clone()).or_insert_with(|| {
            held.enter(&key, Rank { start, since, client: key.clone() });
            Client { start, since, pushed: 0, items: Default::default() }
        });
        client.pushed += 1;
        let at = match order {
            Order::First | Order::Arrival => client.pushed,
            // At the position of the first item that must not overtake it, and before that item by its number.
            Order::Behind(most) => client.pushed.saturating_add(u64::from(most)).saturating_add(1),
        };
        let position = Position { later: order != Order::First, at, number: self.number };
        let rank = client.rank(&key);
        if let (Some(items), Some(ranks)) = (client.items.get_mut(class), self.ranks.get_mut(class)) {
            items.insert(position, Entry { weight, cost_ms, item });
            ranks.insert(rank);
            self.len += 1;
        }
        Ticket { client: key, class, position }
    }

    /// Returns the item that [`pop`](Self::pop) would take.
    pub fn peek(&self, classes: &[Class]) -> Option<&T> {
        let rank = self.next_rank(None, classes)?;
        let client = self.clients.get(&rank.client)?;
        let (class, position) = client.first(classes)?;
        client.items.get(class)?.get(&position).map(|entry| &entry.item)
    }

    /// Returns the clients that wait with an item of the class, in fair order.
    pub fn clients(&self, class: Class) -> impl Iterator<Item = &K> {
        self.ranks.get(class).into_iter().flatten().map(|rank| &rank.client)
    }

    /// Returns the number of waiting items by client, for a report. Takes a step for each client.
    pub fn waiting_by_client(&self) -> BTreeMap<K, usize> {
        let items = |client: &Client<T>| client.items.iter().map(BTreeMap::len).sum();
        self.clients.iter().map(|(key, client)| (key.clone(), items(client))).collect()
    }

    /// Returns the number of permits that each client [holds](Self::hold), for a report.
    pub fn held_by_client(&self) -> BTreeMap<K, usize> {
        self.held.by_client().clone()
    }

    /// Takes out the next item of these classes and charges its client.
    pub fn pop(&mut self, classes: &[Class]) -> Option<Popped<K, T>> {
        self.pop_where(classes, |_, _| true)
    }

    /// Takes out the first item, in fair order and at most one per client, that `accept` accepts. A skipped client
    /// keeps its position.
    pub fn pop_where(
        &mut self,
        classes: &[Class],
        mut accept: impl FnMut(&K, &mut T) -> bool,
    ) -> Option<Popped<K, T>> {
        let mut skipped: Option<Rank<K>> = None;
        loop {
            let rank = self.next_rank(skipped.as_ref(), classes)?.clone();
            let client = self.clients.get_mut(&rank.client)?;
            let (class, position) = client.first(classes)?;
            let entry = client.items.get_mut(class)?.get_mut(&position)?;
            if accept(&rank.client, &mut entry.item) {
                return self.serve(Ticket { client: rank.client, class, position });
            }
            skipped = Some(rank);
        }
    }

    /// Returns the item that [`pop_behind`](Self::pop_behind) would take.
    pub fn peek_behind(&self) -> Option<&T> {
        let client = self.clients.get(&self.held.behind()?.client)?;
        let (class, position) = client.first(&ALL)?;
        client.items.get(class)?.get(&position).map(|entry| &entry.item)
    }

    /// Takes out and charges an item of the client that [holds](Self::hold) the least, but only if that client holds
    /// nothing, or with one more would still hold less than another client.
    pub fn pop_behind(&mut self) -> Option<Popped<K, T>> {
        let key = self.held.behind()?.client.clone();
        let (class, position) = self.clients.get(&key)?.first(&ALL)?;
        self.serve(Ticket { client: key, class, position })
    }

    /// Adds `more` permits to the holding of the client.
    pub fn hold(&mut self, client: &K, more: usize) {
        self.set_held(client, self.held.of(client).saturating_add(more));
    }

    /// Subtracts `less` permits from the holding of the client.
    pub fn release(&mut self, client: &K, less: usize) {
        self.set_held(client, self.held.of(client).saturating_sub(less));
    }

    fn set_held(&mut self, key: &K, held: usize) {
        let rank = self.clients.get(key).map(|client| client.rank(key));
        self.held.set(key, held, rank);
    }

    /// Returns the item if it still waits.
    pub fn get_mut(&mut self, ticket: &Ticket<K>) -> Option<&mut T> {
        let client = self.clients.get_mut(&ticket.client)?;
        client.items.get_mut(ticket.class)?.get_mut(&ticket.position).map(|entry| &mut entry.item)
    }

    /// Cancels an item without a charge. `None`: it does not wait anymore.
    pub fn cancel(&mut self, ticket: &Ticket<K>) -> Option<T> {
        self.remove(ticket).map(|entry| entry.item)
    }

    /// Takes out, uncharged, the newest item of the client that gives up an item for one of `newcomer`, see
    /// [`displaceable`]. `None`: no client has more than its part. Takes a step for each client.
    pub fn displace(&mut self, newcomer: &K, weight: u32) -> Option<T> {
        let waiting = self.clients.iter().filter_map(|(key, client)| {
            let (.., entry) = client.newest()?;
            Some((key, entry.weight, client.items.iter().map(BTreeMap::len).sum::<usize>()))
        });
        let key = displaceable(waiting, (newcomer, weight))?.clone();
        let (class, position, _) = self.clients.get(&key)?.newest()?;
        self.cancel(&Ticket { client: key, class, position })
    }

    /// Takes out all items, uncharged.
    pub fn drain(&mut self) -> Vec<T> {
        let clients = std::mem::take(&mut self.clients);
        self.ranks = Default::default();
        for (key, client) in &clients {
            self.held.leave(key, client.rank(key));
        }
        self.len = 0;
        let items = clients.into_values().flat_map(|client| client.items);
        items.flat_map(BTreeMap::into_values).map(|entry| entry.item).collect()
    }

    /// Charges a client `more_ms` more, or refunds it where that is negative.
    pub fn correct(&mut self, client: &K, weight: u32, more_ms: f64) {
        self.shares.correct(client, weight, more_ms);
        self.move_client(client, false);
    }

    /// Refunds an item that was taken out and not served.
    pub fn refund(&mut self, charge: &Charge<K>) {
        self.correct(&charge.client, charge.weight, -charge.cost_ms);
    }

    /// Ends a busy period, see [`Shares::rest`]. The caller ensures that nothing runs. Has no effect while items wait.
    pub fn rest(&mut self) {
        if self.is_empty() {
            self.shares.rest();
        }
    }

    /// Returns the virtual clocks.
    pub fn shares(&self) -> &Shares<K> {
        &self.shares
    }

    /// Returns the first client behind `after` with items of these classes.
    fn next_rank(&self, after: Option<&Rank<K>>, classes: &[Class]) -> Option<&Rank<K>> {
        let from = after.map_or(Unbounded, Excluded);
        let ranks = classes.iter().filter_map(|class| self.ranks.get(*class));
        ranks.filter_map(|ranks| ranks.range((from, Unbounded)).next()).min()
    }

    /// Takes out an item and charges its client.
    fn serve(&mut self, ticket: Ticket<K>) -> Option<Popped<K, T>> {
        let Entry { weight, cost_ms, item } = self.remove(&ticket)?;
        let client = ticket.client;
        self.shares.serve(&client);
        self.shares.charge(&client, weight, cost_ms);
        self.move_client(&client, true);
        Some(Popped { charge: Charge { client, weight, cost_ms }, item })
    }

    fn remove(&mut self, ticket: &Ticket<K>) -> Option<Entry<T>> {
        let client = self.clients.get_mut(&ticket.client)?;
        let rank = client.rank(&ticket.client);
        let items = client.items.get_mut(ticket.class)?;
        let entry = items.remove(&ticket.position)?;
        if items.is_empty()
            && let Some(ranks) = self.ranks.get_mut(ticket.class)
        {
            ranks.remove(&rank);
        }
        if client.items.iter().all(BTreeMap::is_empty) {
            self.clients.remove(&ticket.client);
            self.held.leave(&ticket.client, rank);
        }
        self.len -= 1;
        Some(entry)
    }

    /// Moves a waiting client to the position of its clock; `served`: behind other clients at the same time.
    fn move_client(&mut self, key: &K, served: bool) {
        let Some(client) = self.clients.get_mut(key) else { return };
        let before = client.rank(key);
        client.start = Tag(self.shares.start_of(key));
        if served {
            self.number += 1;
            client.since = self.number;
        }
        let rank = client.rank(key);
        self.held.leave(key, before.clone());
        self.held.enter(key, rank.clone());
        for (items, ranks) in client.items.iter().zip(&mut self.ranks) {
            if !items.is_empty() {
                ranks.remove(&before);
                ranks.insert(rank.clone());
            }
        }
    }
}

impl<T> Client<T> {
    fn rank<K: Clone>(&self, key: &K) -> Rank<K> {
        Rank { start: self.start, since: self.since, client: key.clone() }
    }

    /// Returns the next item of these classes.
    fn first(&self, classes: &[Class]) -> Option<(Class, Position)> {
        let heads = classes.iter().filter_map(|class| {
            let (position, _) = self.items.get(*class)?.first_key_value()?;
            Some((*class, *position))
        });
        heads.min_by_key(|(_, position)| *position)
    }

    /// Returns the newest of the items that are last in their classes.
    fn newest(&self) -> Option<(Class, Position, &Entry<T>)> {
        let last = self.items.iter().enumerate().filter_map(|(class, items)| {
            let (position, entry) = items.last_key_value()?;
            Some((class, *position, entry))
        });
        last.max_by_key(|(_, position, _)| position.number)
    }
}

#[cfg(test)]
mod tests;
