//! The stored forms of what the store keeps as text: opened and ended documents, and results of pages.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lector_core::call::ModelTime;
use lector_core::{Fault, ModelName, PageResult, Summary, Timing, Transcript};
use serde::{Deserialize, Serialize};

use crate::codes::StoredFault;
use crate::json::text;

/// The facts of an opened document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Opened {
    pub(crate) content_type: String,
    pub(crate) page_count: u32,
    /// Indices of the pages to read, from 0, increasing, as ranges: first and last.
    pub(crate) selected: Vec<(u32, u32)>,
    /// The deployment that reads it.
    pub(crate) deployment: String,
}

impl Opened {
    pub(crate) fn new(content_type: &str, page_count: u32, selected: &[u32], deployment: &str) -> Self {
        Self {
            content_type: content_type.to_owned(),
            page_count,
            selected: ranges(selected),
            deployment: deployment.to_owned(),
        }
    }

    /// Returns the indices of the selected pages.
    pub(crate) fn selected(&self) -> Vec<u32> {
        self.selected.iter().flat_map(|(first, last)| *first..=*last).collect()
    }

    /// Returns the number of the selected pages.
    pub(crate) fn selected_count(&self) -> u32 {
        let count = |(first, last): &(u32, u32)| last.saturating_sub(*first).saturating_add(1);
        self.selected.iter().map(count).fold(0, u32::saturating_add)
    }
}

/// Joins increasing indices to ranges.
pub(crate) fn ranges(indices: &[u32]) -> Vec<(u32, u32)> {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for index in indices {
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(*index) => *last = *index,
            _ => ranges.push((*index, *index)),
        }
    }
    ranges
}

/// The facts about the end of a document.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ended {
    /// The fault of a document that failed as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) fault: Option<StoredFault>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) summary: Option<Summary>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) summary_fault: Option<StoredFault>,
    /// Time in the work on its pages, in milliseconds.
    #[serde(default)]
    pub(crate) total_ms: u64,
}

/// The result of a page.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct StoredPage {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    transcript: Option<Transcript>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fault: Option<StoredFault>,
    timing: StoredTiming,
}

/// The result of a page, borrowed.
#[derive(Serialize)]
struct StoredPageRef<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    transcript: Option<&'a Transcript>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<StoredFault>,
    timing: StoredTiming,
}

/// Durations in microseconds; without the guest's spans and the explanation, which are for the author of a guest.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct StoredTiming {
    total: u64,
    start: u64,
    guest: u64,
    render: u64,
    text_layer: u64,
    image: u64,
    pixels: u64,
    /// By model: runs, rows, pixels, time in the queue, time of the runs, own part of that time.
    models: BTreeMap<String, ModelParts>,
    host_calls: u64,
    memory_bytes: u64,
    log_bytes: u64,
}

/// The parts of a [`ModelTime`], in its order.
type ModelParts = (u64, u64, u64, u64, u64, u64);

fn us(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl From<&Timing> for StoredTiming {
    fn from(timing: &Timing) -> Self {
        let model = |(name, time): (&ModelName, &ModelTime)| {
            let ModelTime { runs, rows, pixels, queue, run, own } = *time;
            (name.as_str().to_owned(), (u64::from(runs), rows, pixels, us(queue), us(run), us(own)))
        };
        Self {
            total: us(timing.total),
            start: us(timing.start),
            guest: us(timing.guest),
            render: us(timing.render),
            text_layer: us(timing.text_layer),
            image: us(timing.image),
            pixels: timing.pixels,
            models: timing.models.iter().map(model).collect(),
            host_calls: timing.host_calls,
            memory_bytes: timing.memory_bytes,
            log_bytes: timing.log_bytes,
        }
    }
}

impl From<StoredTiming> for Timing {
    fn from(stored: StoredTiming) -> Self {
        let us = Duration::from_micros;
        let model = |(name, (runs, rows, pixels, queue, run, own)): (String, ModelParts)| {
            let runs = u32::try_from(runs).unwrap_or(u32::MAX);
            let time = ModelTime { runs, rows, pixels, queue: us(queue), run: us(run), own: us(own) };
            (ModelName::from(name), time)
        };
        Self {
            total: us(stored.total),
            start: us(stored.start),
            guest: us(stored.guest),
            render: us(stored.render),
            text_layer: us(stored.text_layer),
            image: us(stored.image),
            pixels: stored.pixels,
            models: stored.models.into_iter().map(model).collect(),
            host_calls: stored.host_calls,
            memory_bytes: stored.memory_bytes,
            log_bytes: stored.log_bytes,
            ..Self::default()
        }
    }
}

/// Returns the stored form of a page's result.
pub(crate) fn page_bytes(outcome: Result<&Transcript, &Fault>, timing: &Timing) -> Vec<u8> {
    let page = StoredPageRef {
        transcript: outcome.ok(),
        fault: outcome.err().map(StoredFault::from),
        timing: timing.into(),
    };
    text(&page).into_bytes()
}

/// Returns the result of a page in its stored form.
pub(crate) fn page_of(index: u32, bytes: &[u8]) -> Result<PageResult<Transcript>, Fault> {
    let damaged = |error: &dyn std::fmt::Display| crate::faults::data_damaged().with_detail(error);
    let stored: StoredPage = serde_json::from_slice(bytes).map_err(|error| damaged(&error))?;
    let outcome = match (stored.transcript, stored.fault) {
        (Some(transcript), None) => Ok(Arc::new(transcript)),
        (None, Some(fault)) => Err(fault.into()),
        _ => return Err(damaged(&"a page with neither or both of a transcript and a fault")),
    };
    Ok(PageResult { index, outcome, timing: stored.timing.into() })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use lector_core::{Kind, Size};

    use super::*;

    #[test]
    fn a_page_comes_back_as_it_was() {
        let transcript = Transcript::blank(Size { width: 7, height: 9 }, 72.0);
        let mut timing = Timing { total: Duration::from_micros(1234), pixels: 63, ..Timing::default() };
        timing
            .models
            .insert("m".into(), ModelTime { runs: 3, own: Duration::from_micros(5), ..ModelTime::default() });
        let back = page_of(4, &page_bytes(Ok(&transcript), &timing)).unwrap();
        assert_eq!((back.index, &*back.outcome.unwrap(), &back.timing), (4, &transcript, &timing));
        let fault = Fault::new(Kind::GuestFault, "guest_trapped", "It trapped.");
        let back = page_of(0, &page_bytes(Err(&fault), &timing)).unwrap();
        assert_eq!(back.outcome.unwrap_err().code, "guest_trapped");
        for bad in [&b"{"[..], b"{}", br#"{"timing":{}}"#] {
            assert_eq!(page_of(0, bad).unwrap_err().code, "job_data_damaged");
        }
    }

    #[test]
    fn indices_are_joined_to_ranges() {
        assert_eq!(ranges(&[0, 1, 2, 5, 7, 8]), [(0, 2), (5, 5), (7, 8)]);
        let opened = Opened::new("x", 9, &[1, 2, 4], "d");
        assert_eq!((opened.selected(), opened.selected_count()), (vec![1, 2, 4], 3));
        assert!(ranges(&[]).is_empty());
    }
}
