//! The workers as the dispatcher sees them, and its decisions about sharing them between tenants.
//!
//! Three rules keep a worker within reach of every tenant:
//! - The *reserve*: the last idle workers, as many as `reserve_workers`, go to newcomers only: tenants that hold no worker.
//! - A job that runs longer than [`SLOW_AFTER`] is *slow*. Where every worker runs a slow job and a newcomer waits, one job
//!   gives way: its process is killed, and the job waits as a known slow job to start from the beginning, once.
//! - Known slow jobs never run on all workers. So a job gives way at most once, and there is always one that can.
//!
//! (M. Harchol-Balter, "Task assignment with unknown duration", Journal of the ACM 49, 2002: short jobs go first although
//! their length is unknown; a job that turns out to be long is killed and starts again among the long ones.)
//!
//! Pure bookkeeping under the pool's lock. Called by `dispatch`.

use std::time::Duration;

use lector_core::TenantName;

use super::job::Job;
use super::status::WorkerTask;
use super::work::{Offer, Running, WorkQueue};
use crate::wire::DocumentId;

/// Time after which a running job is slow: a dozen starts of a process, which is what a job that gives way costs beside its
/// own time. Time of the clock and not of the processor, because it is the time that another tenant waits.
pub(super) const SLOW_AFTER: Duration = Duration::from_millis(250);

/// State of one worker in the pool.
#[derive(Default)]
pub(super) struct Slot {
    pub(super) phase: Phase,
    /// Job that was assigned to an idle worker.
    pub(super) job: Option<Job>,
    /// Charge of the worker's current job.
    pub(super) running: Option<Running>,
    /// The current job must give way to a newcomer.
    pub(super) gives_way: bool,
    /// Tenant whose documents the worker reads, or will read in its current job. `None`: the worker is new.
    pub(super) tenant: Option<TenantName>,
    /// Documents open in the worker, least recently used first. Empty after a respawn.
    pub(super) open: Vec<DocumentId>,
    /// Documents to close before the next job.
    pub(super) forgotten: Vec<DocumentId>,
    pub(super) pid: Option<u32>,
    /// Request that was sent to the worker and is not answered.
    pub(super) task: Option<WorkerTask>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    #[default]
    Starting,
    Idle,
    Busy,
    /// The worker could not be started; its supervisor tries again.
    Down,
}

impl Slot {
    /// Charges the worker's job if it has ended; a job that was handed back has not.
    pub(super) fn settle(&mut self, queue: &mut WorkQueue) {
        if self.job.is_none()
            && let Some(running) = self.running.take()
        {
            self.gives_way = false;
            queue.finish(running);
        }
    }

    /// Returns whether the worker has stopped being one.
    fn is_down(&self) -> bool {
        self.phase == Phase::Down
    }

    fn runs_for(&self, tenant: &TenantName) -> bool {
        self.running.as_ref().is_some_and(|running| running.tenant() == tenant)
    }
}

/// Returns the terms on which the queue gives out an idle worker; `reserve`: the number of workers for newcomers.
pub(super) fn offer(slots: &[Slot], reserve: usize) -> Offer {
    let workers = slots.iter().filter(|slot| !slot.is_down()).count();
    let idle = slots.iter().filter(|slot| slot.phase == Phase::Idle).count();
    let reserve = reserve.min(workers.saturating_sub(1));
    let regular = workers - reserve;
    Offer {
        newcomers_only: idle <= reserve,
        holders: holders(slots),
        opens_max: regular.saturating_sub(1).max(1),
        slow_max: workers.saturating_sub(1).max(1),
    }
}

/// Returns the tenants with running jobs.
fn holders(slots: &[Slot]) -> Vec<TenantName> {
    slots.iter().filter_map(|slot| Some(slot.running.as_ref()?.tenant().clone())).collect()
}

/// Returns the tenants of the idle workers, where the tenant that is `first` in the queue has a worker of its own that is
/// busy with its work, and no idle worker that could serve it without a new process.
pub(super) fn staying(slots: &[Slot], first: &TenantName) -> Vec<TenantName> {
    let own = |slot: &Slot| slot.tenant.as_ref() == Some(first);
    let idle = |slot: &&Slot| slot.phase == Phase::Idle;
    let served = slots.iter().any(|slot| own(slot) && matches!(slot.phase, Phase::Busy | Phase::Starting));
    if !served || slots.iter().filter(idle).any(|slot| own(slot) || slot.tenant.is_none()) {
        return Vec::new();
    }
    slots.iter().filter(idle).filter_map(|slot| slot.tenant.clone()).collect()
}

/// Marks slow jobs, and the one that must give way, if every worker runs a slow one and a newcomer waits: of the tenant
/// that holds the most workers, the job that has run the shortest.
pub(super) fn make_way(slots: &mut [Slot], queue: &mut WorkQueue) {
    for running in slots.iter_mut().filter_map(|slot| slot.running.as_mut()) {
        queue.mark_slow(running, SLOW_AFTER);
    }
    let mut workers = slots.iter().filter(|slot| !slot.is_down());
    let all_slow = workers.all(|slot| slot.running.as_ref().is_some_and(Running::is_slow));
    let several = slots.iter().filter(|slot| !slot.is_down()).count() > 1;
    let under_way = slots.iter().any(|slot| slot.gives_way);
    if !all_slow || !several || under_way || !queue.newcomer_waits(&holders(slots)) {
        return;
    }
    let held = |tenant: &TenantName| slots.iter().filter(|slot| slot.runs_for(tenant)).count();
    let able = slots.iter().enumerate().filter_map(|(index, slot)| {
        let running = slot.running.as_ref().filter(|running| !running.is_known_slow())?;
        Some((held(running.tenant()), running.since(), index))
    });
    if let Some((_, _, index)) = able.max()
        && let Some(slot) = slots.get_mut(index)
    {
        slot.gives_way = true;
    }
}
