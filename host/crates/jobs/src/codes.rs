//! Faults in the store: their JSON, and the way back to codes that are static texts.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lector_core::{Blame, Fault, Kind};
use serde::{Deserialize, Serialize};

/// Most different texts that are kept. Lector has some two hundred; a damaged store must not fill the memory.
const TEXTS_MAX: usize = 1024;

/// Returns a stored text as a static one: a code, or a content type. `otherwise`: beyond the limits.
pub(crate) fn interned(text: &str, otherwise: &'static str) -> &'static str {
    static TEXTS: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut texts = TEXTS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = texts.get(text) {
        return known;
    }
    if texts.len() >= TEXTS_MAX || text.len() > 64 {
        return otherwise;
    }
    // Bounded by the check above.
    let kept: &'static str = Box::leak(text.to_owned().into_boxed_str());
    texts.insert(kept);
    kept
}

macro_rules! names {
    ($to:ident $from:ident $type:ident $otherwise:ident: $($variant:ident $name:literal),+) => {
        fn $to(value: $type) -> &'static str {
            match value { $($type::$variant => $name),+ }
        }

        fn $from(name: &str) -> $type {
            match name { $($name => $type::$variant,)+ _ => $type::$otherwise }
        }
    };
}

names! { kind_name kind_of Kind Bug:
Invalid "invalid", Denied "denied", NotFound "not_found", Conflict "conflict", TooLarge "too_large", Busy "busy",
Deadline "deadline", GuestFault "guest_fault", Unavailable "unavailable", Bug "bug" }
names! { blame_name blame_of Blame Host: Client "client", Guest "guest", Host "host" }

/// A fault in the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct StoredFault {
    kind: String,
    blame: String,
    code: String,
    message: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    guest_code: Option<Box<str>>,
}

impl From<&Fault> for StoredFault {
    fn from(fault: &Fault) -> Self {
        Self {
            kind: kind_name(fault.kind).to_owned(),
            blame: blame_name(fault.blame).to_owned(),
            code: fault.code.to_owned(),
            message: fault.message.clone(),
            retry_after_ms: fault.retry_after.map(|after| after.as_millis() as u64),
            guest_code: fault.guest_code.clone(),
        }
    }
}

impl From<StoredFault> for Fault {
    fn from(stored: StoredFault) -> Self {
        let mut fault = Self::new(kind_of(&stored.kind), interned(&stored.code, "internal"), stored.message)
            .blaming(blame_of(&stored.blame));
        fault.retry_after = stored.retry_after_ms.map(Duration::from_millis);
        fault.guest_code = stored.guest_code;
        fault
    }
}

/// Returns the JSON of a fault.
pub(crate) fn to_json(fault: &Fault) -> String {
    crate::json::text(&StoredFault::from(fault))
}

/// Returns the fault of a JSON text, if it is one.
pub(crate) fn from_json(text: &str) -> Option<Fault> {
    serde_json::from_str::<StoredFault>(text).ok().map(Fault::from)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn a_fault_comes_back_as_it_was() {
        let fault = Fault::new(Kind::Busy, "server_overloaded", "Full.")
            .blaming(Blame::Guest)
            .retry_after(Duration::from_secs(3));
        let back = from_json(&to_json(&fault)).unwrap();
        assert_eq!(
            (back.kind, back.blame, back.code, &back.message, back.retry_after),
            (fault.kind, fault.blame, fault.code, &fault.message, fault.retry_after)
        );
        assert!(std::ptr::eq(interned("a_code", "internal"), interned("a_code", "internal")));
        assert_eq!(interned(&"x".repeat(65), "internal"), "internal");
        assert_eq!(interned("image/of-a-new-kind", "application/octet-stream"), "image/of-a-new-kind");
    }
}
