#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use futures::FutureExt;
use lector_control::SystemClock;
use std::sync::atomic::Ordering::Relaxed;

use super::line::For;
use super::*;

const LONG: Duration = Duration::from_secs(300);

fn admission(documents_max: usize) -> Arc<Admission> {
    let wait_max = Duration::from_secs(60);
    Admission::new(Bounds {
        documents_max,
        held_bytes_max: 100,
        tenant_held_bytes_max: u64::MAX,
        tenant_uploads_max: 3,
        wait_max,
    })
}

fn tenant(name: &str) -> Arc<Tenant> {
    let policy = lector_control::TenantPolicy::default();
    let record = lector_control::TenantRecord { name: name.into(), created_at_ms: 0, policy };
    Tenant::new(record, Arc::new(UsageCounters::new(Arc::new(SystemClock))), 0)
}

#[test]
fn refuses_by_documents_and_by_bytes_and_gives_back() {
    let (admission, a, b) = (admission(2), tenant("a"), tenant("b"));
    let first = admission.admit(&a, 60, LONG).unwrap();
    let fault = admission.admit(&b, 60, LONG).unwrap_err();
    assert_eq!((fault.code, fault.kind), ("server_overloaded", Kind::Busy));
    assert!(fault.retry_after.is_some());
    let second = admission.admit(&b, 40, LONG).unwrap();
    assert_eq!(admission.admit(&b, 0, LONG).unwrap_err().code, "server_overloaded");
    assert_eq!((second.held_bytes(), admission.held_bytes()), (40, 100));
    assert_eq!(admission.admit(&b, 101, LONG).unwrap_err().code, "submission_too_large");
    drop((first, second));
    assert_eq!((admission.held_bytes(), admission.gate.count(), admission.documents.count()), (0, 0, 0));
    assert_eq!(admission.load.wait(), Duration::ZERO);
    let counters = &admission.counters;
    assert_eq!((counters.documents_admitted.load(Relaxed), counters.documents_refused.load(Relaxed)), (2, 3));
}

/// Ten uploads that announce all the memory of the server and send almost none of it, and as many that send nothing.
#[tokio::test]
async fn announced_bytes_take_nothing_from_other_tenants() {
    let admission = admission(2);
    let attackers: Vec<_> = (0..10).map(|n| tenant(&format!("attacker-{n}"))).collect();
    let mut trickling = Vec::new();
    for attacker in &attackers {
        let slot = admission.upload(attacker, Some(100), LONG).unwrap();
        let mut received = slot.begin(true).unwrap();
        received.arrived(2).await.unwrap();
        trickling.push((slot, received, admission.upload(attacker, Some(100), LONG).unwrap()));
    }
    assert_eq!((admission.held_bytes(), admission.documents.count(), admission.uploads.count()), (20, 0, 20));
    let victim = tenant("victim");
    for _ in 0..50 {
        let slot = admission.upload(&victim, Some(80), LONG).unwrap();
        let mut received = slot.begin(true).unwrap();
        received.arrived(40).now_or_never().expect("no wait").unwrap();
        received.arrived(80).now_or_never().expect("no wait").unwrap();
        drop(slot.admit(received, LONG, LONG).now_or_never().expect("no wait").unwrap());
    }
    drop(trickling);
    assert_eq!((admission.held_bytes(), admission.uploads.count(), admission.gate.count()), (0, 0, 0));
}

#[test]
fn a_tenant_sends_a_bounded_number_of_bodies_at_once() {
    let (admission, a, b) = (admission(10), tenant("a"), tenant("b"));
    let held: Vec<_> = (0..3).map(|_| admission.upload(&a, None, LONG).unwrap()).collect();
    let fault = admission.upload(&a, None, LONG).unwrap_err();
    assert_eq!((fault.code, fault.kind), ("tenant_uploads_exceeded", Kind::Busy));
    assert!(fault.retry_after.is_some() && fault.message.contains('3'), "{fault}");
    assert_eq!(admission.counters.documents_over_uploads.load(Relaxed), 1);
    assert_eq!(admission.component_upload(&a, None).unwrap_err().code, "tenant_uploads_exceeded");
    assert!(admission.upload(&b, None, LONG).is_ok());
    drop(held);
    assert!(admission.upload(&a, None, LONG).is_ok());
    let mut policy = lector_control::TenantPolicy::default();
    policy.limits.uploads_concurrent = 1;
    let record = lector_control::TenantRecord { name: "c".into(), created_at_ms: 0, policy };
    let c = Tenant::new(record, Arc::new(UsageCounters::new(Arc::new(SystemClock))), 0);
    let _one = admission.upload(&c, None, LONG).unwrap();
    assert!(admission.upload(&c, None, LONG).is_err());
}

#[test]
fn an_upload_that_could_not_be_accepted_now_is_refused_unread() {
    let (admission, a, b) = (admission(1), tenant("a"), tenant("b"));
    assert_eq!(admission.upload(&a, Some(101), LONG).unwrap_err().code, "submission_too_large");
    let held = admission.admit(&a, 0, LONG).unwrap();
    assert_eq!(admission.upload(&b, Some(1), LONG).unwrap_err().code, "server_overloaded");
    // A component needs no place.
    assert!(admission.component_upload(&b, Some(1)).is_ok());
    drop(held);
    assert!(admission.upload(&b, Some(1), LONG).is_ok());
}

#[tokio::test]
async fn several_documents_of_a_tenant_leave_bytes_for_others() {
    let (admission, a, b) = (admission(10), tenant("a"), tenant("b"));
    let slot = admission.upload(&a, None, LONG).unwrap();
    let mut first = slot.begin(true).unwrap();
    let mut second = slot.begin(false).unwrap();
    first.arrived(40).await.unwrap();
    second.arrived(48).await.unwrap();
    let fault = second.arrived_within(50, Duration::from_millis(1)).await.unwrap_err();
    assert_eq!(fault.code, "tenant_memory_exceeded");
    let other = admission.upload(&b, None, LONG).unwrap();
    other.begin(true).unwrap().arrived(12).now_or_never().expect("a new tenant does not wait").unwrap();
    drop(second);
    first.arrived(100).now_or_never().expect("one document may use all of it").unwrap();
}

#[tokio::test]
async fn an_upload_that_began_before_the_drain_is_finished() {
    let (admission, a) = (admission(2), tenant("a"));
    let slot = admission.upload(&a, None, LONG).unwrap();
    admission.close();
    let mut received = slot.begin(true).unwrap();
    received.arrived(5).await.unwrap();
    let permit = slot.admit(received, LONG, LONG).await.unwrap();
    assert_eq!(slot.begin(false).unwrap_err().code, "shutting_down", "no further document of a batch");
    assert_eq!(admission.upload(&a, None, LONG).unwrap_err().code, "shutting_down");
    drop((slot, permit));
    assert_eq!(admission.gate.count(), 0);
}

#[test]
fn a_tenants_bytes_are_limited_and_do_not_affect_other_tenants() {
    let mut policy = lector_control::TenantPolicy::default();
    policy.limits.held_bytes_max = 50;
    let record = lector_control::TenantRecord { name: "a".into(), created_at_ms: 0, policy };
    let (admission, a, b) = (
        admission(10),
        Tenant::new(record, Arc::new(UsageCounters::new(Arc::new(SystemClock))), 0),
        tenant("b"),
    );
    let code = |fault: Fault| fault.code;
    assert_eq!(admission.admit(&a, 51, LONG).map_err(code).err(), Some("submission_too_large"));
    let slot = admission.upload(&a, None, LONG).unwrap();
    let mut first = slot.begin(true).unwrap();
    first.hold(30).unwrap();
    let fault = admission.admit(&a, 21, LONG).unwrap_err();
    assert_eq!((fault.code, fault.kind), ("tenant_memory_exceeded", Kind::Busy));
    assert!(fault.retry_after.is_some());
    assert_eq!(admission.upload(&a, Some(21), LONG).map_err(code).err(), Some("tenant_memory_exceeded"));
    assert_eq!(admission.counters.documents_over_bytes.load(Relaxed), 2);
    // A request that exceeds the server's limit is not counted against the tenant.
    let other = admission.admit(&b, 60, LONG).unwrap();
    assert_eq!(first.hold(50).map_err(code), Err("server_overloaded"));
    assert_eq!((a.usage.held_bytes.held(), admission.held_bytes()), (30, 90));
    drop(other);
    first.hold(50).unwrap();
    drop(first);
    assert_eq!((a.usage.held_bytes.held(), admission.held_bytes()), (0, 0));
    assert!(admission.admit(&a, 50, LONG).is_ok());
}

#[test]
fn a_tenant_without_a_bound_has_the_servers_default() {
    let bounds = Bounds {
        documents_max: 10,
        held_bytes_max: 100,
        tenant_held_bytes_max: 25,
        tenant_uploads_max: 3,
        wait_max: Duration::from_secs(60),
    };
    let (admission, a, b) = (Admission::new(bounds), tenant("a"), tenant("b"));
    let code = |fault: Fault| fault.code;
    assert_eq!(admission.admit(&a, 26, LONG).map_err(code).err(), Some("submission_too_large"));
    let _held = admission.admit(&a, 20, LONG).unwrap();
    assert_eq!(admission.admit(&a, 10, LONG).map_err(code).err(), Some("tenant_memory_exceeded"));
    assert!(admission.admit(&b, 20, LONG).is_ok());
}

#[test]
fn results_count_in_the_same_bounds_as_bodies() {
    let (admission, a) = (admission(10), tenant("a"));
    let permit = admission.admit(&a, 20, LONG).unwrap();
    let result = futures::FutureExt::now_or_never(permit.memory().reserve(70)).unwrap();
    drop(permit);
    assert_eq!((a.usage.held_bytes.held(), admission.held_bytes()), (70, 70));
    assert_eq!(admission.admit(&a, 31, LONG).unwrap_err().code, "server_overloaded");
    drop(result);
    assert!(admission.admit(&a, 31, LONG).is_ok());
}

#[test]
fn a_rejection_names_the_limit_and_the_time_to_wait() {
    let (admission, a, b) = (admission(100), tenant("a"), tenant("b"));
    let long = admission.admit(&a, 0, LONG).unwrap();
    long.pending_work().set(1e9);
    let fault = admission.admit(&a, 0, LONG).unwrap_err();
    assert_eq!(fault.code, "server_overloaded");
    assert!(fault.retry_after > Some(Duration::from_secs(50)), "{fault}");
    let _other = admission.admit(&b, 0, LONG).unwrap();
    assert_eq!(admission.admit(&a, 0, LONG).unwrap_err().code, "tenant_overloaded");
    assert_eq!(admission.counters.documents_over_share.load(Relaxed), 1);
}

fn cores() -> f64 {
    std::thread::available_parallelism().map_or(1, usize::from) as f64
}

#[test]
fn a_client_without_time_to_wait_is_rejected_at_once() {
    let (admission, a) = (admission(100), tenant("a"));
    let busy = admission.admit(&a, 0, LONG).unwrap();
    busy.pending_work().set(50_000.0 * cores());
    assert_eq!(admission.admit(&a, 0, Duration::from_secs(20)).unwrap_err().code, "server_overloaded");
    assert!(admission.admit(&a, 0, LONG).is_ok());
}

#[test]
fn closed_is_another_fault_than_full() {
    let admission = admission(2);
    admission.close();
    assert_eq!(admission.admit(&tenant("a"), 0, LONG).unwrap_err().code, "shutting_down");
}

/// Waits for a place; polled once, so that it has its position.
fn waits<'a>(
    admission: &'a Arc<Admission>,
    tenant: &'a Arc<Tenant>,
) -> std::pin::Pin<Box<dyn Future<Output = Result<Permit, Fault>> + Send + 'a>> {
    let mut waiting = Box::pin(waited(admission, tenant, LONG));
    assert!(waiting.as_mut().now_or_never().is_none());
    waiting
}

/// Waits `within` for a place for a document that has arrived.
async fn waited(admission: &Arc<Admission>, tenant: &Arc<Tenant>, within: Duration) -> Result<Permit, Fault> {
    let (admission, tenant) = (admission.clone(), tenant.clone());
    let guard = admission.gate.enter("test".into(), usize::MAX).map_err(|_| shutting_down())?;
    let received = ReceivedBytes::new(&admission, &tenant);
    admission.admit_within(received, guard, LONG, within).await
}

#[tokio::test]
async fn a_waiting_document_is_woken_by_free_capacity_and_counts_no_rejection() {
    let (admission, a, b) = (admission(2), tenant("a"), tenant("b"));
    let of_a = admission.admit(&a, 0, LONG).unwrap();
    let _of_b = admission.admit(&b, 0, LONG).unwrap();
    let (sender, mut admitted) = tokio::sync::mpsc::channel(3);
    for (waiting, tenant) in [(1, &a), (2, &a), (3, &b)] {
        let (admission, tenant, sender) = (admission.clone(), tenant.clone(), sender.clone());
        let line = admission.clone();
        tokio::spawn(async move {
            let permit = waited(&admission, &tenant, LONG).await.unwrap();
            sender.send((tenant.name().to_string(), permit)).await.unwrap();
        });
        while line.line.len(For::Document) < waiting {
            tokio::task::yield_now().await;
        }
    }
    drop(of_a);
    let mut order = Vec::new();
    for _ in 0..3 {
        let (tenant, permit) = admitted.recv().await.unwrap();
        order.push(tenant);
        assert!(admitted.try_recv().is_err(), "one document is the limit");
        drop(permit);
    }
    assert_eq!(order, ["a", "b", "a"]);
    let counters = &admission.counters;
    let refused = counters.documents_refused.load(Relaxed) + counters.documents_over_share.load(Relaxed);
    assert_eq!((counters.documents_admitted.load(Relaxed), refused), (5, 0));
}

#[tokio::test]
async fn a_document_that_waited_in_vain_counts_one_refusal() {
    let (admission, a) = (admission(1), tenant("a"));
    let _held = admission.admit(&a, 0, LONG).unwrap();
    let fault = waited(&admission, &a, Duration::from_millis(1)).await.unwrap_err();
    assert_eq!(fault.code, "server_overloaded");
    assert_eq!(admission.counters.documents_refused.load(Relaxed), 1);
    assert!(admission.line.is_empty(For::Document));
    // A waiter that leaves counts nothing, and a waiter gets a fault when admission closes.
    drop(waits(&admission, &a));
    let waiting = waits(&admission, &a);
    admission.close();
    assert_eq!(waiting.await.unwrap_err().code, "shutting_down");
    assert_eq!(admission.counters.documents_refused.load(Relaxed), 2);
}

#[tokio::test]
async fn bytes_are_granted_in_order_and_released_by_waiters_that_leave() {
    let admission = admission(10);
    let [a, b, c] = ["a", "b", "c"].map(tenant);
    let received = |tenant| ReceivedBytes::new(&admission, tenant);
    let (mut held, mut large, mut small) = (received(&c), received(&a), received(&b));
    held.hold(60).unwrap();
    large.arrived_within(30, LONG).await.unwrap();
    {
        let mut large = Box::pin(large.arrived_within(70, LONG));
        let mut small = Box::pin(small.arrived_within(10, LONG));
        assert!(large.as_mut().now_or_never().is_none());
        assert!(small.as_mut().now_or_never().is_none(), "it does not overtake the waiter before it");
        drop(large);
        small.await.unwrap();
    }
    assert_eq!((large.bytes(), small.bytes(), admission.held_bytes()), (30, 10, 100));
    let late = large.arrived_within(31, Duration::from_millis(1)).await.unwrap_err();
    assert_eq!(late.code, "server_overloaded");
    let mut more = Box::pin(large.arrived_within(31, LONG));
    assert!(more.as_mut().now_or_never().is_none());
    drop(held);
    // The bytes are granted, and the waiter leaves before it takes them.
    admission.line.give();
    drop(more);
    assert_eq!((large.bytes(), admission.held_bytes()), (30, 40));
}

#[tokio::test]
async fn raised_limits_admit_a_document_that_waits() {
    let (admission, a) = (admission(1), tenant("a"));
    let first = admission.admit(&a, 10, Duration::from_secs(60)).unwrap();
    let waits = admission.admit_whole(&a, 10, Duration::from_secs(600));
    tokio::pin!(waits);
    assert!(futures::poll!(waits.as_mut()).is_pending(), "one place, which is taken");
    let mut bounds = admission.bounds();
    bounds.documents_max = 8;
    admission.retune(bounds);
    let second = waits.await.unwrap();
    // A lowered limit takes nothing away from what is in flight, and refuses the next document.
    admission.retune(Bounds { documents_max: 1, ..bounds });
    assert_eq!(admission.documents.count(), 2);
    assert_eq!(admission.admit(&a, 10, Duration::from_secs(60)).unwrap_err().code, "server_overloaded");
    drop((first, second));
    assert!(admission.admit(&a, 10, Duration::from_secs(60)).is_ok());
}
