//! The picture of `lector top`: which part of the state is shown where, and what the keys do.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::figures::{bytes, seconds};
use super::frame::{Frame, Style};
use super::keys::Key;
use super::sample::{Rates, Sample, waits};
use super::tables::{self, Table};
use crate::http::server_status::{ServerStatus, Used};

/// Most rates of the past that are kept for the curve: one for each column of a wide terminal.
const HISTORY_MAX: usize = 500;
/// Most waits that are shown in a terminal; `--once` prints all.
const WAITS_MAX: usize = 6;
/// Lines of a table beside its rows: its title, and the names of the columns.
const TABLE_FRAME: usize = 2;
/// Smallest height in which a table shows a row.
const TABLE_MIN: usize = TABLE_FRAME + 1;
/// Columns of a bar.
const BAR: usize = 12;
/// Part of a limit from which it is red.
const NEARLY_FULL: f64 = 0.9;

/// What a key did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    Continue,
    Quit,
}

/// The parts with a table, in their order.
const PANELS: [&str; 3] = ["Tenants", "Lanes", "Engines"];

/// The state of the view.
pub(super) struct Screen {
    server: String,
    interval: Duration,
    latest: Option<Sample>,
    rates: Option<Rates>,
    /// Pages per second, the newest last.
    history: VecDeque<f64>,
    /// Why the server gave no answer, and since when.
    away: Option<(String, Instant)>,
    /// The table that the arrows move, and that has the most space.
    selected: usize,
    /// Rows of each table that are above its window.
    scrolled: [usize; PANELS.len()],
}

impl Screen {
    pub(super) fn new(server: String, interval: Duration) -> Self {
        let history = VecDeque::new();
        let (latest, rates, away) = (None, None, None);
        Self { server, interval, latest, rates, history, away, selected: 0, scrolled: [0; PANELS.len()] }
    }

    /// Takes an answer of the server.
    pub(super) fn answered(&mut self, sample: Sample) {
        self.away = None;
        self.rates = self.latest.as_ref().and_then(|old| Rates::between(old, &sample));
        if let Some(rates) = &self.rates {
            self.history.push_back(rates.pages);
            if self.history.len() > HISTORY_MAX {
                self.history.pop_front();
            }
        }
        self.latest = Some(sample);
    }

    /// Notes that the server gave no answer.
    pub(super) fn is_away(&mut self, error: &anyhow::Error, now: Instant) {
        let since = self.away.take().map_or(now, |(_, since)| since);
        self.away = Some((format!("{error:#}"), since));
    }

    /// Acts on a key.
    pub(super) fn on_key(&mut self, key: Key) -> Flow {
        let selected = self.selected;
        let mut scroll = |by: isize| {
            if let Some(rows) = self.scrolled.get_mut(selected) {
                *rows = rows.saturating_add_signed(by);
            }
        };
        match key {
            Key::Quit => return Flow::Quit,
            Key::Next => self.selected = (selected + 1) % PANELS.len(),
            Key::Previous => self.selected = (selected + PANELS.len() - 1) % PANELS.len(),
            Key::Up => scroll(-1),
            Key::Down => scroll(1),
            Key::PageUp => scroll(-10),
            Key::PageDown => scroll(10),
            Key::Home => scroll(isize::MIN),
        }
        Flow::Continue
    }

    /// Returns the whole state, `width` columns wide and as high as it needs.
    pub(super) fn whole(&mut self, width: usize) -> Frame {
        self.frame(width, usize::MAX, usize::MAX)
    }

    /// Returns the state in the size of a terminal.
    pub(super) fn fitted(&mut self, width: usize, height: usize) -> Frame {
        self.frame(width, height, WAITS_MAX)
    }

    fn frame(&mut self, width: usize, height: usize, waits_max: usize) -> Frame {
        let mut frame = Frame::default();
        frame.line(self.title());
        let Some(status) = self.latest.as_ref().map(|sample| sample.status.clone()) else { return frame };
        frame.text(self.pages(width));
        let guests = Used { now: status.guests.instances, max: status.guests.instances_max };
        frame.line(limits([("documents", status.documents), ("page slots", status.page_slots)], |n| {
            n.to_string()
        }));
        frame.line(
            limits([("bytes held", status.held_bytes)], bytes)
                .into_iter()
                .chain(limits([("guests", guests)], |n| n.to_string())),
        );
        counts_of(&status).into_iter().for_each(|line| frame.text(line));
        frame.line(heading("Waits", width, Style::Bold));
        for line in some(waits(&status, self.rates.as_ref()), waits_max) {
            frame.text(format!("  {line}"));
        }
        let rates = self.rates.as_ref();
        let tables =
            [tables::tenants(&status, rates), tables::lanes(&status, rates), tables::engines(&status)];
        let wanted = tables.each_ref().map(|table| table.rows.len() + TABLE_FRAME);
        let heights = shared(height.saturating_sub(frame.height()), wanted, self.selected);
        for (number, (table, height)) in tables.iter().zip(heights).enumerate() {
            self.table(&mut frame, number, table, (width, height));
        }
        frame
    }

    fn title(&self) -> Vec<(Style, String)> {
        if let Some((why, since)) = &self.away {
            let (away, again) = (since.elapsed().as_secs(), self.interval.as_secs_f64());
            return vec![(Style::Alarm, format!("NO ANSWER for {away} s, asked every {again} s: {why}"))];
        }
        match &self.latest {
            Some(sample) => {
                let status = &sample.status;
                let state = if status.draining { "draining" } else { "serving" };
                let rest = format!(" at {}, up {}, {state}", self.server, seconds(status.uptime_s));
                vec![(Style::Bold, format!("lector {}", status.version)), (Style::Plain, rest)]
            }
            None => vec![(Style::Bold, "lector".to_owned()), (Style::Plain, format!(" at {}", self.server))],
        }
    }

    /// Returns the rates, and the curve of the pages in the rest of the line.
    fn pages(&self, width: usize) -> String {
        let text = match &self.rates {
            Some(rates) => format!(
                "pages {:.1}/s  failed {:.1}/s  documents {:.1}/s  refused {:.1}/s  ",
                rates.pages, rates.pages_failed, rates.documents, rates.refused
            ),
            None => "pages -  failed -  documents -  refused -  ".to_owned(),
        };
        let skipped = self.history.len().saturating_sub(width.saturating_sub(text.len()));
        let most = self.history.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        let curve = self.history.iter().skip(skipped).map(|rate| step(rate / most));
        text.chars().chain(curve).collect()
    }

    fn table(&mut self, frame: &mut Frame, number: usize, table: &Table, (width, height): (usize, usize)) {
        if height == 0 {
            return;
        }
        let (visible, count) = (height.saturating_sub(TABLE_FRAME), table.rows.len());
        let scrolled = self.scrolled.get_mut(number).map_or(0, |rows| {
            *rows = (*rows).min(count.saturating_sub(visible));
            *rows
        });
        let mut title = PANELS.get(number).copied().unwrap_or_default().to_owned();
        if count > visible {
            title.push_str(&format!(" {} to {} of {count}", scrolled + 1, (scrolled + visible).min(count)));
        }
        if let Some(note) = &table.note {
            title.push_str(&format!(", {note}"));
        }
        let style = if number == self.selected { Style::Selected } else { Style::Bold };
        frame.line(heading(&title, width, style));
        let widths = table.widths();
        frame.line([(Style::Bold, table.line(&widths, table.columns.iter().copied()))]);
        for row in table.rows.iter().skip(scrolled).take(visible) {
            frame.text(table.line(&widths, row.iter().map(String::as_str)));
        }
    }
}

/// Returns the first of the lines, and a last one that counts the others.
fn some(mut lines: Vec<String>, most: usize) -> Vec<String> {
    if lines.is_empty() {
        lines.push("Nothing waits.".to_owned());
    }
    if lines.len() > most {
        let more = lines.len() - (most - 1);
        lines.truncate(most - 1);
        lines.push(format!("and {more} more"));
    }
    lines
}

/// Returns a title with a rule to the edge.
fn heading(title: &str, width: usize, style: Style) -> [(Style, String); 1] {
    let rule = width.saturating_sub(title.chars().count() + 4);
    [(style, format!("── {title} {}", "─".repeat(rule)))]
}

/// Returns a block of a height from 0 to 1.
fn step(part: f64) -> char {
    const STEPS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let number = (part.clamp(0.0, 1.0) * (STEPS.len() - 1) as f64).round() as usize;
    STEPS.get(number).copied().unwrap_or('█')
}

/// Returns the uses of limits, each with a bar.
fn limits<const N: usize>(limits: [(&str, Used); N], figure: fn(u64) -> String) -> Vec<(Style, String)> {
    let mut pieces = Vec::new();
    for (name, used) in limits {
        let part = if used.max == 0 { 0.0 } else { (used.now as f64 / used.max as f64).clamp(0.0, 1.0) };
        let filled = (part * BAR as f64).round() as usize;
        let style = if part >= NEARLY_FULL { Style::Alarm } else { Style::Good };
        pieces.push((Style::Plain, format!("{name:<10} ")));
        pieces.push((style, "█".repeat(filled)));
        pieces.push((Style::Plain, "░".repeat(BAR - filled)));
        let figures = format!("{} of {}", figure(used.now), figure(used.max));
        pieces.push((Style::Plain, format!(" {figures:<20} ")));
    }
    pieces
}

fn counts_of(status: &ServerStatus) -> [String; 2] {
    let (workers, guests) = (&status.workers, &status.guests);
    let busy = workers.alive.saturating_sub(workers.idle);
    let first = format!(
        "pending work {} at {:.1} s/s  pages to read {}  uploads {}  connections {}",
        seconds(status.pending_work_s),
        status.work_rate,
        status.pages_unfinished,
        status.uploads,
        status.connections
    );
    let mut second = format!(
        "render workers {busy} of {} busy  components {}  traps {}",
        workers.alive, guests.components, guests.traps
    );
    if let Some(jobs) = &status.jobs {
        second.push_str(&format!("  jobs {} running, {} queued", jobs.running, jobs.queued));
    }
    [first, second]
}

/// Divides the lines among the tables: each gets a row at least, and the selected one comes first with the rest. In a terminal
/// that is too small for this, only the selected one is shown.
fn shared(available: usize, wanted: [usize; PANELS.len()], selected: usize) -> [usize; PANELS.len()] {
    let mut heights = wanted.map(|lines| lines.min(TABLE_MIN));
    if heights.iter().sum::<usize>() > available {
        heights = [0; PANELS.len()];
    }
    let mut left = available - heights.iter().sum::<usize>();
    for step in 0..PANELS.len() {
        let number = (selected + step) % PANELS.len();
        let (Some(height), Some(wanted)) = (heights.get_mut(number), wanted.get(number)) else { continue };
        if *height > 0 || number == selected {
            let more = wanted.saturating_sub(*height).min(left);
            *height += more;
            left -= more;
        }
    }
    heights
}

#[cfg(test)]
mod tests;
