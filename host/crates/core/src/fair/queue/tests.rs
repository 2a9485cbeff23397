//! Properties of the queue.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::testing::{Counted, comparisons};
use super::super::{CREDIT, virtual_cost};
use super::*;

fn charge<K>(client: K, weight: u32, cost_ms: f64) -> Charge<K> {
    Charge { client, weight, cost_ms }
}

fn push(queue: &mut FairQueue<u32, u32>, client: u32, order: Order, item: u32) -> Ticket<u32> {
    queue.push(charge(client, 1, 10.0), 0, order, item)
}

fn items(queue: &mut FairQueue<u32, u32>) -> Vec<u32> {
    std::iter::from_fn(|| queue.pop(&[0, 1]).map(|popped| popped.item)).collect()
}

proptest! {
    /// While every client waits, a client's service differs from its share by less than one of its own items.
    #[test]
    fn a_share_is_within_one_item_of_its_weight(
        clients in vec((1..100_u32, 1.0..500.0_f64), 1..8),
        pops in 1..400_usize,
    ) {
        let mut queue = FairQueue::<u32, ()>::default();
        let most = |at: usize| clients[at].1;
        // Costs vary up to the client's largest one.
        let cost = |at: usize, n: usize| most(at) * (1.0 + (n % 7) as f64) / 7.0;
        let mut pushed = vec![0; clients.len()];
        let mut refill = |queue: &mut FairQueue<u32, ()>, at: usize| {
            let cost = cost(at, pushed[at]);
            pushed[at] += 1;
            queue.push(charge(at as u32, clients[at].0, cost), 0, Order::Arrival, ());
        };
        for at in 0..clients.len() {
            refill(&mut queue, at);
            refill(&mut queue, at);
        }
        let mut got = vec![0.0; clients.len()];
        for _ in 0..pops {
            let popped = queue.pop(&[0]).unwrap();
            let at = popped.charge.client as usize;
            got[at] += popped.charge.cost_ms;
            refill(&mut queue, at);
            let served = clients.iter().map(|(weight, _)| f64::from(*weight)).zip(&got);
            let normalized: Vec<f64> = served.map(|(weight, got)| got / weight).collect();
            for a in 0..clients.len() {
                for b in 0..clients.len() {
                    let bound = virtual_cost(clients[a].0, most(a)).max(virtual_cost(clients[b].0, most(b)));
                    prop_assert!((normalized[a] - normalized[b]).abs() <= bound + 1e-6, "{normalized:?}");
                }
            }
        }
    }

    /// A cancelled item costs its client nothing, whether it waited or was already taken out.
    #[test]
    fn a_cancelled_item_is_refunded(
        weight in 1..100_u32,
        cost in 0.1..1000.0_f64,
        others in vec((1..5_u32, 0.1..1000.0_f64), 0..20),
    ) {
        let mut queue = FairQueue::<u32, u32>::default();
        for (client, cost) in others {
            queue.push(charge(client, 1, cost), 0, Order::Arrival, 0);
        }
        while queue.len() > 3 {
            queue.pop(&[0]);
        }
        let before = queue.shares().start_of(&0);
        let ticket = queue.push(charge(0, weight, cost), 0, Order::Arrival, 1);
        prop_assert_eq!(queue.cancel(&ticket), Some(1));
        prop_assert_eq!(queue.cancel(&ticket), None);
        prop_assert_eq!(queue.shares().start_of(&0), before);
        queue.push(charge(0, weight, cost), 0, Order::Arrival, 1);
        let popped = loop {
            let popped = queue.pop(&[0]).unwrap();
            if popped.charge.client == 0 {
                break popped;
            }
        };
        queue.refund(&popped.charge);
        let floor = queue.shares().now() - CREDIT;
        prop_assert!((queue.shares().start_of(&0) - before.max(floor)).abs() < 1e-6);
    }

    /// Compares with a model that scans everything: every pop takes the earliest client; no item is lost or doubled.
    #[test]
    fn it_agrees_with_a_model_that_scans_everything(
        operations in vec((0..6_u8, 0..5_u32, 0..2_usize, 1..4_u32, 0.0..50.0_f64), 1..300),
    ) {
        let mut queue = FairQueue::<u32, u32>::default();
        let mut waiting: Vec<(u32, usize, Ticket<u32>)> = Vec::new();
        let mut number = 0;
        for (operation, client, class, weight, ms) in operations {
            match operation {
                0 | 1 => {
                    number += 1;
                    let ticket = queue.push(charge(client, weight, ms), class, Order::Arrival, number);
                    waiting.push((number, class, ticket));
                }
                2 if !waiting.is_empty() => {
                    let (item, _, ticket) = waiting.remove(client as usize % waiting.len());
                    prop_assert_eq!(queue.cancel(&ticket), Some(item));
                }
                3 => queue.correct(&client, weight, ms - 25.0),
                4 => {
                    let now = queue.shares().now();
                    queue.rest();
                    prop_assert!(queue.shares().now() >= now);
                }
                _ => {
                    let classes: &[Class] = if client == 0 { &[0, 1] } else { &[class] };
                    let fits = |class: &usize| classes.contains(class);
                    let earliest = waiting.iter().filter(|(_, class, _)| fits(class));
                    let earliest = earliest.map(|(.., ticket)| queue.shares().start_of(&ticket.client));
                    let earliest = earliest.min_by(f64::total_cmp);
                    let starts: Vec<f64> = (0..5).map(|client| queue.shares().start_of(&client)).collect();
                    let now = queue.shares().now();
                    let popped = queue.pop(classes);
                    prop_assert_eq!(popped.is_some(), earliest.is_some());
                    prop_assert!(queue.shares().now() >= now);
                    if let (Some(popped), Some(earliest)) = (popped, earliest) {
                        let client = popped.charge.client;
                        prop_assert_eq!(starts[client as usize], earliest);
                        let own = waiting.iter().position(|(_, class, ticket)| ticket.client == client && fits(class));
                        prop_assert_eq!(waiting.remove(own.unwrap()).0, popped.item, "first come first served");
                    }
                }
            }
            prop_assert_eq!(queue.len(), waiting.len());
        }
        let mut left: Vec<u32> = queue.drain();
        left.sort_unstable();
        prop_assert_eq!(left, waiting.into_iter().map(|(item, ..)| item).collect::<Vec<_>>());
        prop_assert!(queue.is_empty() && queue.pop(&[0, 1]).is_none());
    }
}

/// Doubling the clients adds a constant to each operation, not a factor.
#[test]
fn an_operation_takes_logarithmic_time() {
    let per_operation = |clients: u32| {
        let mut queue = FairQueue::<Counted, ()>::default();
        let one = |queue: &mut FairQueue<Counted, ()>, n: u32| {
            queue.push(charge(Counted(n), 1 + n % 3, f64::from(1 + n % 11)), 0, Order::Arrival, ())
        };
        (0..clients).for_each(|n| _ = one(&mut queue, n));
        let rounds = 2_000;
        let compared = comparisons(|| {
            for round in 0..rounds {
                let popped = queue.pop(&[0]).unwrap();
                queue.hold(&popped.charge.client, 1);
                queue.correct(&popped.charge.client, 1, 3.0);
                let ticket = one(&mut queue, round % clients);
                queue.cancel(&ticket).unwrap();
                queue.release(&popped.charge.client, 1);
                queue.push(popped.charge, 0, Order::Arrival, ());
            }
        });
        compared as f64 / f64::from(rounds)
    };
    let (small, large) = (per_operation(64), per_operation(64 * 256));
    // log2 grows from 6 to 14; a scan would take 256 times as long.
    assert!(large < 4.0 * small, "{small} comparisons a round for 64 clients, {large} for 16384");
}

#[test]
fn an_idle_client_comes_first_by_no_more_than_its_credit() {
    let mut queue = FairQueue::<u32, u32>::default();
    for n in 0..1000 {
        push(&mut queue, 1, Order::Arrival, n);
    }
    (0..500).for_each(|_| _ = queue.pop(&[0]));
    for n in 0..100 {
        push(&mut queue, 2, Order::Arrival, 1000 + n);
    }
    let order = items(&mut queue);
    let first = order.iter().take_while(|item| **item >= 1000).count();
    // 20 ms of credit and the item in service, at 10 ms each.
    assert!((1..=4).contains(&first), "{first}");
    let until = order.iter().rposition(|item| *item >= 1000).unwrap();
    assert!(until >= 2 * 100 - 8, "in turn from then on: {until}");
}

#[test]
fn first_goes_before_and_behind_is_overtaken_a_bounded_number_of_times() {
    let mut queue = FairQueue::default();
    push(&mut queue, 1, Order::Behind(3), 100);
    for n in 0..10 {
        push(&mut queue, 1, Order::Arrival, n);
    }
    push(&mut queue, 1, Order::First, 200);
    push(&mut queue, 1, Order::First, 201);
    assert_eq!(items(&mut queue), [200, 201, 0, 1, 2, 100, 3, 4, 5, 6, 7, 8, 9]);
}

#[test]
fn a_class_can_be_held_back() {
    let mut queue = FairQueue::default();
    for (client, class, item) in [(1, 1, 11), (1, 0, 10), (2, 1, 21), (3, 0, 30)] {
        queue.push(charge(client, 1, 10.0), class, Order::Arrival, item);
    }
    let mut pop = |classes: &[Class]| queue.pop(classes).map(|popped| popped.item);
    assert_eq!(pop(&[0]), Some(10));
    assert_eq!(pop(&[0]), Some(30));
    assert_eq!(pop(&[0]), None, "the others are of the other class");
    assert_eq!(pop(&[0, 1]), Some(21), "the client that was served less");
    assert_eq!(pop(&[0, 1]), Some(11));
}

#[test]
fn a_skipped_client_keeps_its_position() {
    let mut queue = FairQueue::default();
    for client in 1..=3 {
        push(&mut queue, client, Order::Arrival, client);
    }
    let popped = queue.pop_where(&[0], |client, item| *client > 1 && *item > 1).unwrap();
    assert_eq!(popped.item, 2);
    assert!(queue.pop_where(&[0], |_, _| false).is_none());
    assert_eq!(items(&mut queue), [1, 3]);
}

#[test]
fn the_client_that_holds_least_is_found() {
    let mut queue = FairQueue::default();
    queue.hold(&1, 3);
    queue.hold(&2, 1);
    push(&mut queue, 1, Order::Arrival, 1);
    assert!(queue.pop_behind().is_none(), "it holds most");
    push(&mut queue, 2, Order::Arrival, 2);
    assert_eq!(queue.peek_behind(), Some(&2), "two would be less than three");
    queue.hold(&2, 1);
    assert!(queue.pop_behind().is_none(), "three would be as many");
    push(&mut queue, 3, Order::Arrival, 3);
    assert_eq!(queue.pop_behind().map(|popped| popped.item), Some(3), "it holds nothing");
    queue.release(&2, 2);
    assert_eq!(queue.pop_behind().map(|popped| popped.item), Some(2));
    queue.release(&1, 3);
    assert_eq!(queue.pop_behind().map(|popped| popped.item), Some(1));
}

#[test]
fn a_full_queue_gives_up_an_item_of_the_client_with_the_most_for_its_weight() {
    let check = |waiting: &[(u32, u32, usize)], newcomer: (u32, u32), expect: Option<u32>| {
        let given = waiting.iter().map(|(client, weight, items)| (client, *weight, *items));
        assert_eq!(
            displaceable(given, (&newcomer.0, newcomer.1)).copied(),
            expect,
            "{waiting:?} {newcomer:?}"
        );
    };
    check(&[], (1, 1), None);
    check(&[(1, 1, 8)], (1, 1), None);
    check(&[(1, 1, 8)], (2, 1), Some(1));
    check(&[(1, 1, 2), (3, 1, 5)], (2, 1), Some(3));
    // With one more the newcomer would have as many.
    check(&[(1, 1, 4), (2, 1, 3)], (2, 1), None);
    check(&[(1, 1, 5), (2, 1, 3)], (2, 1), Some(1));
    // The newcomer has the most itself.
    check(&[(1, 1, 4), (2, 1, 9)], (2, 1), None);
    // A weight is a right to that many items.
    check(&[(1, 4, 8), (3, 1, 4)], (2, 1), Some(3));
    check(&[(1, 4, 8)], (2, 1), Some(1));
    check(&[(1, 8, 8)], (2, 1), None);
    check(&[(1, 1, 2)], (2, 4), Some(1));
}

#[test]
fn the_newest_item_is_displaced_and_costs_nothing() {
    let mut queue = FairQueue::<u32, u32>::default();
    queue.push(charge(1, 1, 10.0), 1, Order::Behind(16), 10);
    queue.push(charge(1, 1, 10.0), 0, Order::Arrival, 11);
    queue.push(charge(1, 1, 10.0), 0, Order::Arrival, 12);
    queue.push(charge(1, 1, 10.0), 1, Order::Behind(16), 13);
    let before = queue.shares().start_of(&1);
    assert_eq!(queue.displace(&1, 1), None, "not for an item of its own");
    assert_eq!([queue.displace(&2, 1), queue.displace(&2, 1)], [Some(13), Some(12)]);
    push(&mut queue, 2, Order::Arrival, 20);
    assert_eq!(queue.displace(&2, 1), None, "both would have two");
    assert_eq!((queue.len(), queue.shares().start_of(&1)), (3, before));
    assert_eq!(items(&mut queue), [11, 20, 10]);
}
