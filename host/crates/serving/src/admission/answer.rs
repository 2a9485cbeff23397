//! Answers that are made of stored results: their memory, which counts on the account of the tenant like that of results
//! that were just read.

use std::sync::Arc;
use std::time::Duration;

use lector_control::{DocumentMemory, Reservation, Tenant};
use lector_core::{Fault, KeyedPlace, TenantName};

use super::upload::ReceivedBytes;
use super::{ANSWERS_MAX, Admission, over_answers, over_bytes};

/// Longest wait for memory: an answer that has begun would be cut off.
const MEMORY_WAIT_MAX: Duration = Duration::from_secs(30);

/// The memory of one answer. Holds a place among the answers of its tenant until it is dropped.
#[derive(Debug)]
pub struct AnswerMemory {
    admission: Arc<Admission>,
    tenant: Arc<Tenant>,
    memory: Arc<DocumentMemory>,
    _place: KeyedPlace<TenantName>,
}

impl Admission {
    /// Gives an answer a place. Fault: `tenant_overloaded`.
    pub(crate) fn answer(self: &Arc<Self>, tenant: &Arc<Tenant>) -> Result<AnswerMemory, Fault> {
        let place = self.answers.take(&tenant.account().tenant);
        let place = self.counted_refusal(place.ok_or_else(|| over_answers(ANSWERS_MAX)))?;
        let memory = ReceivedBytes::new(self, tenant).memory();
        Ok(AnswerMemory { admission: self.clone(), tenant: tenant.clone(), memory, _place: place })
    }
}

impl AnswerMemory {
    /// Returns the account of the answer.
    pub(crate) fn account(&self) -> &Arc<DocumentMemory> {
        &self.memory
    }

    /// Waits up to 30 seconds for `bytes`, in fair order over tenants. Dropping the future leaves the queue.
    ///
    /// Faults: `tenant_memory_exceeded` for the tenant's own limit, `server_overloaded` for the limit of the server.
    pub async fn reserve(&self, bytes: u64) -> Result<Reservation, Fault> {
        let Ok(reservation) = tokio::time::timeout(MEMORY_WAIT_MAX, self.memory.reserve(bytes)).await else {
            let own_max = self.admission.own_max(&self.tenant);
            let is_own = self.tenant.usage.held_bytes.held().saturating_add(bytes) > own_max;
            let fault = match is_own {
                true => over_bytes(self.admission.load.wait(), own_max),
                false => self.admission.server_holds_its_bytes(),
            };
            self.admission.count_refusal(&fault);
            self.tenant.usage.rejected();
            return Err(fault);
        };
        Ok(reservation)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::fakes::{Behavior, Script, platform, platform_holding};

    #[tokio::test]
    async fn an_answer_waits_for_the_memory_of_its_tenant_and_is_refused_after_a_time() {
        let platform = platform_holding(&Script::new(Behavior::Read), 100, 100).await.unwrap();
        tokio::time::pause();
        let principal = platform.control().of_this_machine().unwrap();
        let answer = || platform.answer_memory(&principal).unwrap();
        let (one, other) = (answer(), answer());
        let held = one.reserve(80).await.unwrap();
        assert_eq!(platform.status().held_bytes, 80);
        // The first one that finds no memory may exceed the limit; the next one waits.
        let overdraft = other.reserve(80).await.unwrap();
        assert_eq!(one.reserve(80).await.unwrap_err().code, "tenant_memory_exceeded");
        drop((held, overdraft, other));
        assert_eq!(one.reserve(80).await.unwrap().bytes(), 80);
        assert_eq!(platform.status().held_bytes, 0);
    }

    #[tokio::test]
    async fn the_answers_of_a_tenant_are_bounded() {
        let platform = platform(&Script::new(Behavior::Read), 2, 2).await.unwrap();
        let principal = platform.control().of_this_machine().unwrap();
        let all: Vec<_> = (0..ANSWERS_MAX).map(|_| platform.answer_memory(&principal).unwrap()).collect();
        assert_eq!(platform.answer_memory(&principal).unwrap_err().code, "tenant_overloaded");
        drop(all);
        assert!(platform.answer_memory(&principal).is_ok());
    }
}
