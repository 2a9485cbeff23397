//! The result of the fake guest, events as words, and waiting for them.

use std::time::{Duration, Instant};

use lector_core::{Line, Quad, Size, Transcript};

use crate::request::Event;

pub fn transcript(index: u32) -> Transcript {
    let line = Line::new(format!("page {index}"), 1.0, Quad::default());
    Transcript { lines: vec![line], ..Transcript::blank(Size { width: 1, height: 1 }, 72.0) }
}

/// Formats an event: `open`, `ok 3`, `guest_trapped 3`, `end 4/1`, `failed code`.
pub fn word(event: &Event) -> String {
    match event {
        Event::Opened { selected, .. } => format!("open {}", selected.len()),
        Event::Page { index, .. } => format!("ok {index}"),
        Event::PageError { index, fault, .. } => format!("{} {index}", fault.code),
        Event::End { pages_ok, pages_failed, .. } => format!("end {pages_ok}/{pages_failed}"),
        Event::Failed(fault) => format!("failed {}", fault.code),
    }
}

/// Longest wait, for a busy machine.
const LONG: Duration = Duration::from_secs(120);

/// Waits until `is` holds; fails after a time that is long enough for a busy machine.
pub async fn until(what: &str, is: impl Fn() -> bool) {
    let end = Instant::now() + LONG;
    while !is() {
        assert!(Instant::now() < end, "waited too long until {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Lets every other task of a runtime with one thread run until it waits. Absence is shown by it and not by a sleep,
/// after which a slow machine may have run nothing.
#[cfg(test)]
pub(crate) async fn at_rest() {
    // A task that is woken runs before the next turn of this one; no chain of wake-ups is as long as this.
    for _ in 0..2_000 {
        tokio::task::yield_now().await;
    }
}

/// Waits until `look` finds something; fails after the same time.
pub async fn found<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + LONG;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < end, "waited too long for {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
