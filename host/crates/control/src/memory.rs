//! Memory of documents, in bytes, against the limits of their tenant and of the server.
//!
//! Owns the counters behind `held_bytes_max`, the order in which documents wait for memory, and the reservations, which
//! release their bytes on drop. Counted are bodies as they are received (`admission.rs`), pages that were read and are
//! not yet delivered or are kept for `assemble`, summaries, and answers in progress. A page waits for memory before it
//! begins, and is counted with its true size once it is read. Documents wait in fair order over tenants. A body gets
//! no memory while a page waits for some: the page ends a document, and the body begins one.
//!
//! Documents that keep pages could deadlock on each other's memory. So one document of each tenant, and one of the
//! server, may exceed the limit (the overdraft): the first that waits. It keeps that right as long as it holds any
//! memory.

use std::ops::Deref;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};

use lector_core::fair::{Account, FairSemaphore, Request, Shares};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Size from which the memory of a document is returned to the operating system.
const LARGE_BYTES: u64 = 16 << 20;

/// The bytes held now by one tenant, or by all.
#[derive(Debug)]
pub struct ByteBudget {
    held: AtomicU64,
    /// Notified when bytes or the overdraft are released.
    freed: Notify,
    /// One permit, held by the document that is first in line for memory; fair over tenants.
    first: FairSemaphore,
    /// Documents that are first in line and have found no memory: 0 or 1.
    results_waiting: AtomicU64,
    /// The right to exceed the limit.
    overdraft: Arc<Semaphore>,
    /// Also notified when bytes are released: documents that wait for admission.
    waiting: Option<Arc<Notify>>,
}

impl Default for ByteBudget {
    fn default() -> Self {
        Self {
            held: AtomicU64::new(0),
            freed: Notify::new(),
            // No credit, because it is counted in the unit of the cost: KiB.
            first: FairSemaphore::with_shares(1, 0, Shares::with_credit(0.0)),
            results_waiting: AtomicU64::new(0),
            overdraft: Arc::new(Semaphore::new(1)),
            waiting: None,
        }
    }
}

impl ByteBudget {
    /// Makes the budget of the server; documents that wait for its bytes wait on `waiting`.
    pub fn of_server(waiting: Arc<Notify>) -> Self {
        Self { waiting: Some(waiting), ..Self::default() }
    }

    /// Returns the bytes held now.
    pub fn held(&self) -> u64 {
        self.held.load(Relaxed)
    }

    /// Adds `more` bytes of a body if the sum is at most `most` and no result waits for bytes.
    pub fn try_take(&self, more: u64, most: u64) -> bool {
        self.results_waiting.load(Relaxed) == 0 && self.try_add(more, most)
    }

    fn try_add(&self, more: u64, most: u64) -> bool {
        let fits = |held: u64| held.checked_add(more).filter(|&held| held <= most);
        self.held.try_update(Relaxed, Relaxed, fits).is_ok()
    }

    /// Releases `bytes` without a notification of documents that wait for admission, because their failed attempts
    /// release bytes, too.
    pub fn give_back(&self, bytes: u64) {
        self.held.fetch_sub(bytes, Relaxed);
        self.freed.notify_waiters();
    }

    /// Releases `bytes` of results.
    fn release(&self, bytes: u64) {
        self.give_back(bytes);
        if let Some(waiting) = self.waiting.as_ref().filter(|_| bytes > 0) {
            waiting.notify_one();
        }
    }

    fn add(&self, bytes: u64) {
        self.held.fetch_add(bytes, Relaxed);
    }
}

/// One of the two budgets, with the state of one document.
#[derive(Debug)]
struct Level {
    budget: Arc<ByteBudget>,
    most: u64,
    /// The tenant that waits.
    account: Account,
    overdraft: Mutex<Option<OwnedSemaphorePermit>>,
    /// Notified at the end of a wait for this budget: bodies that wait for either budget wait on that of the server.
    bodies: Option<Arc<Notify>>,
}

impl Level {
    fn new(account: Account, (budget, most): (Arc<ByteBudget>, u64), bodies: Option<Arc<Notify>>) -> Self {
        Self { budget, most, account, overdraft: Mutex::default(), bodies }
    }

    fn lock_overdraft(&self) -> std::sync::MutexGuard<'_, Option<OwnedSemaphorePermit>> {
        self.overdraft.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for `bytes`, in fair order over tenants and behind the documents of its tenant that came before.
    async fn take(&self, bytes: u64) -> TakenBytes<'_> {
        // Made once the bytes are counted, not earlier: a canceled wait must not release bytes.
        let taken = || TakenBytes { budget: &self.budget, bytes };
        if self.lock_overdraft().is_some() {
            self.budget.add(bytes);
            return taken();
        }
        let Account { tenant, weight } = self.account.clone();
        let _first = self.budget.first.acquire(Request::one(tenant, weight, bytes as f64 / 1024.0)).await;
        let mut waiting = None;
        loop {
            let freed = self.budget.freed.notified();
            tokio::pin!(freed);
            // A release is not missed from here on.
            freed.as_mut().enable();
            if self.budget.try_add(bytes, self.most) {
                return taken();
            }
            if let Ok(permit) = self.budget.overdraft.clone().try_acquire_owned() {
                *self.lock_overdraft() = Some(permit);
                self.budget.add(bytes);
                return taken();
            }
            waiting.get_or_insert_with(|| ResultWaits::new(self));
            freed.await;
        }
    }
}

/// Counts a document that waits for memory of a budget.
struct ResultWaits<'a>(&'a Level);

impl<'a> ResultWaits<'a> {
    fn new(level: &'a Level) -> Self {
        level.budget.results_waiting.fetch_add(1, Relaxed);
        Self(level)
    }
}

impl Drop for ResultWaits<'_> {
    fn drop(&mut self) {
        self.0.budget.results_waiting.fetch_sub(1, Relaxed);
        // Bodies may continue.
        if let Some(waiting) = &self.0.bodies {
            waiting.notify_one();
        }
    }
}

impl Drop for Level {
    fn drop(&mut self) {
        if self.lock_overdraft().take().is_some() {
            self.budget.freed.notify_waiters();
        }
    }
}

/// Bytes of one budget, released on drop unless they are kept.
struct TakenBytes<'a> {
    budget: &'a ByteBudget,
    bytes: u64,
}

impl TakenBytes<'_> {
    fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for TakenBytes<'_> {
    fn drop(&mut self) {
        self.budget.release(self.bytes);
    }
}

/// The memory of one document. Lives as long as the document holds any.
#[derive(Debug)]
pub struct DocumentMemory {
    tenant: Level,
    server: Level,
    held: AtomicU64,
    peak: AtomicU64,
    /// Notified when the memory of a large document is free.
    large_freed: Arc<Notify>,
}

impl DocumentMemory {
    /// Makes the memory of a document of the tenant whose bytes `tenant` counts; each budget comes with its limit.
    pub fn new(
        account: Account,
        tenant: (Arc<ByteBudget>, u64),
        server: (Arc<ByteBudget>, u64),
        large_freed: Arc<Notify>,
    ) -> Arc<Self> {
        let bodies = server.0.waiting.clone();
        Arc::new(Self {
            tenant: Level::new(account.clone(), tenant, bodies.clone()),
            server: Level::new(account, server, bodies),
            held: AtomicU64::new(0),
            peak: AtomicU64::new(0),
            large_freed,
        })
    }

    /// Waits for `bytes`: first in the tenant's budget, then in the server's.
    pub async fn reserve(self: &Arc<Self>, bytes: u64) -> Reservation {
        let own = self.tenant.take(bytes).await;
        let all = self.server.take(bytes).await;
        own.keep();
        all.keep();
        self.count(bytes);
        Reservation { document: Some(self.clone()), bytes }
    }

    /// Returns the bytes that the tenant and the server may hold at once: the smaller limit.
    pub fn most(&self) -> u64 {
        self.tenant.most.min(self.server.most)
    }

    fn add(&self, bytes: u64) {
        self.tenant.budget.add(bytes);
        self.server.budget.add(bytes);
        self.count(bytes);
    }

    fn count(&self, bytes: u64) {
        let held = self.held.fetch_add(bytes, Relaxed).saturating_add(bytes);
        self.peak.fetch_max(held, Relaxed);
    }

    fn release(&self, bytes: u64) {
        self.held.fetch_sub(bytes, Relaxed);
        self.tenant.budget.release(bytes);
        self.server.budget.release(bytes);
    }
}

impl Drop for DocumentMemory {
    fn drop(&mut self) {
        if self.peak.load(Relaxed) >= LARGE_BYTES {
            self.large_freed.notify_one();
        }
    }
}

/// Bytes that count as held until the reservation is dropped.
#[derive(Debug, Default)]
pub struct Reservation {
    document: Option<Arc<DocumentMemory>>,
    bytes: u64,
}

impl Reservation {
    /// Sets the bytes to the true size. Never waits: the memory is already in use.
    pub fn set(&mut self, bytes: u64) {
        let Some(document) = &self.document else { return };
        match bytes.checked_sub(self.bytes) {
            Some(more) => document.add(more),
            None => document.release(self.bytes - bytes),
        }
        self.bytes = bytes;
    }

    /// Reserves `bytes` more for the same document, for a copy in another form. Never waits.
    pub fn another(&self, bytes: u64) -> Self {
        if let Some(document) = &self.document {
            document.add(bytes);
        }
        Self { document: self.document.clone(), bytes }
    }

    /// Waits for `bytes` more for the same document, for a copy in another form. The caller bounds the wait.
    pub async fn more(&self, bytes: u64) -> Self {
        match &self.document {
            Some(document) => document.reserve(bytes).await,
            None => Self::default(),
        }
    }

    /// Returns the bytes that the tenant and the server may hold at once; without a limit, all.
    pub fn most(&self) -> u64 {
        self.document.as_ref().map_or(u64::MAX, |document| document.most())
    }

    /// Returns the reserved bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(document) = &self.document {
            document.release(self.bytes);
        }
    }
}

/// A result with its memory reservation.
#[derive(Debug)]
pub struct Held<T> {
    value: T,
    reservation: Reservation,
}

impl<T> Held<T> {
    /// Combines a value with its reservation.
    pub fn new(value: T, reservation: Reservation) -> Self {
        Self { value, reservation }
    }

    /// Returns the reservation.
    pub fn reservation(&self) -> &Reservation {
        &self.reservation
    }
}

/// A result with uncounted memory: in tests, and on the command line.
impl<T> From<T> for Held<T> {
    fn from(value: T) -> Self {
        Self { value, reservation: Reservation::default() }
    }
}

impl AsRef<lector_core::Transcript> for Held<lector_core::Transcript> {
    fn as_ref(&self) -> &lector_core::Transcript {
        self
    }
}

impl AsRef<lector_core::Summary> for Held<lector_core::Summary> {
    fn as_ref(&self) -> &lector_core::Summary {
        self
    }
}

impl<T> Deref for Held<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use futures::FutureExt;

    use super::*;

    struct Fixture {
        tenant: Arc<ByteBudget>,
        server: Arc<ByteBudget>,
        large_freed: Arc<Notify>,
    }

    impl Fixture {
        fn new() -> Self {
            Self { tenant: Arc::default(), server: Arc::default(), large_freed: Arc::default() }
        }

        fn document(&self) -> Arc<DocumentMemory> {
            let (tenant, server) = ((self.tenant.clone(), 100), (self.server.clone(), 150));
            DocumentMemory::new(account("a"), tenant, server, self.large_freed.clone())
        }

        fn held(&self) -> (u64, u64) {
            (self.tenant.held(), self.server.held())
        }
    }

    fn account(tenant: &str) -> Account {
        Account::new(tenant.into(), 100)
    }

    fn now(document: &Arc<DocumentMemory>, bytes: u64) -> Option<Reservation> {
        document.reserve(bytes).now_or_never()
    }

    #[test]
    fn reservations_follow_the_true_size_and_give_back() {
        let fixture = Fixture::new();
        let document = fixture.document();
        let mut page = now(&document, 10).unwrap();
        page.set(70);
        let copy = page.another(20);
        assert_eq!(fixture.held(), (90, 90));
        page.set(5);
        assert_eq!((fixture.held(), page.bytes(), copy.bytes()), ((25, 25), 5, 20));
        drop((page, copy));
        assert_eq!(fixture.held(), (0, 0));
    }

    #[tokio::test]
    async fn one_document_exceeds_the_limit_and_the_others_wait_in_order() {
        let fixture = Fixture::new();
        let (a, b, c) = (fixture.document(), fixture.document(), fixture.document());
        let held = [now(&a, 50).unwrap(), now(&b, 50).unwrap()];
        let beyond = now(&a, 40).expect("the first that waits exceeds the limit");
        let more = now(&a, 5).expect("and continues to");
        let mut of_b = Box::pin(b.reserve(10));
        let mut of_c = Box::pin(c.reserve(1));
        assert!(of_b.as_mut().now_or_never().is_none());
        assert!(of_c.as_mut().now_or_never().is_none(), "it does not overtake");
        assert_eq!(fixture.held(), (145, 145));
        drop(more);
        assert!(of_b.as_mut().now_or_never().is_none(), "still above the limit");
        let [of_a, _b] = held;
        drop((of_a, beyond, a));
        let got = of_b.await;
        assert_eq!(fixture.held(), (60, 60));
        assert!(of_c.as_mut().now_or_never().is_some());
        drop(got);
    }

    #[tokio::test]
    async fn tenants_wait_for_the_memory_of_the_server_in_fair_order() {
        let server: Arc<ByteBudget> = Arc::default();
        let document = |tenant: &str| {
            let own = (Arc::default(), u64::MAX);
            DocumentMemory::new(account(tenant), own, (server.clone(), 100), Arc::default())
        };
        let (holder, overdrawn) = (document("x"), document("y"));
        let held = (now(&holder, 100).unwrap(), now(&overdrawn, 100).unwrap());
        let (of_a, of_b): (Vec<_>, _) = ((0..3).map(|_| document("a")).collect(), document("b"));
        let mut flood: Vec<_> = of_a.iter().map(|document| Box::pin(document.reserve(100))).collect();
        for waiting in &mut flood {
            assert!(waiting.as_mut().now_or_never().is_none());
        }
        let mut victim = Box::pin(of_b.reserve(100));
        assert!(victim.as_mut().now_or_never().is_none());
        assert!(!server.try_take(1, u64::MAX), "no body begins while a result waits");
        drop((held, holder, overdrawn));
        let first = flood[0].as_mut().now_or_never().expect("it was first");
        assert!(victim.as_mut().now_or_never().is_some(), "one of a, then b, which came last");
        assert!(flood[1].as_mut().now_or_never().is_none());
        drop((first, flood, victim));
        assert_eq!(server.held(), 0);
        assert!(server.try_take(1, 1), "nothing waits");
    }

    #[tokio::test]
    async fn the_overdraft_passes_on_with_the_last_byte() {
        let fixture = Fixture::new();
        let (a, b) = (fixture.document(), fixture.document());
        let undelivered = now(&a, 200).unwrap();
        drop(a);
        let mut of_b = Box::pin(b.reserve(1000));
        assert!(of_b.as_mut().now_or_never().is_none(), "an undelivered answer keeps it");
        drop(undelivered);
        assert_eq!(of_b.await.bytes(), 1000);
    }

    #[test]
    fn a_canceled_wait_leaves_nothing_behind() {
        let fixture = Fixture::new();
        let other: Arc<ByteBudget> = Arc::default();
        let server = (fixture.server.clone(), 150);
        let other_document =
            DocumentMemory::new(account("b"), (other, 1000), server, fixture.large_freed.clone());
        let (a, _held) = (fixture.document(), now(&other_document, 900).unwrap());
        assert!(now(&a, 10).is_none(), "the tenant has memory left, and the server has none");
        assert_eq!(fixture.held(), (0, 900));
    }

    #[test]
    fn bodies_continue_when_the_wait_of_a_result_ends() {
        for own in [100, 10_000] {
            let (notify, tenant) = (Arc::new(Notify::new()), Arc::<ByteBudget>::default());
            let server = Arc::new(ByteBudget::of_server(notify.clone()));
            let document = || {
                let (own, all) = ((tenant.clone(), own), (server.clone(), 1000));
                DocumentMemory::new(account("a"), own, all, Arc::default())
            };
            let (holder, overdrawn, waits) = (document(), document(), document());
            assert_eq!(holder.most(), own.min(1000));
            let _held = (now(&holder, holder.most()).unwrap(), now(&overdrawn, 1000).unwrap());
            let mut waiting = Box::pin(waits.reserve(1));
            assert!(waiting.as_mut().now_or_never().is_none());
            let blocked = |budget: &ByteBudget| !budget.try_take(0, u64::MAX);
            assert!(blocked(&tenant) || blocked(&server), "no body begins while a result waits");
            while notify.notified().now_or_never().is_some() {}
            drop(waiting);
            assert!(!blocked(&tenant) && !blocked(&server));
            assert!(notify.notified().now_or_never().is_some(), "with a limit of {own}");
        }
    }

    #[test]
    fn a_large_document_notifies_when_its_memory_is_free() {
        let fixture = Fixture::new();
        let notified = || fixture.large_freed.notified().now_or_never().is_some();
        drop(now(&fixture.document(), 1000).unwrap());
        assert!(!notified());
        let page = now(&fixture.document(), LARGE_BYTES).unwrap();
        assert!(!notified());
        drop(page);
        assert!(notified());
    }
}
