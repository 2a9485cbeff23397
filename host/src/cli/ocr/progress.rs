//! A progress bar on standard error, shown only on a terminal.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Redraws per second; more would slow down a slow terminal.
const REDRAWS_S: u8 = 10;

/// The bar, or nothing.
pub(in crate::cli) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    pub(in crate::cli) fn new(documents: usize) -> Self {
        let visible = std::io::stderr().is_terminal();
        let target = if visible {
            ProgressDrawTarget::stderr_with_hz(REDRAWS_S)
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(Some(0), target);
        let template = "{spinner} {pos}/{len} pages {wide_bar} {elapsed} {msg}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(if documents == 1 { String::new() } else { format!("{documents} documents") });
        if visible {
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        Self { bar }
    }

    /// Adds pages to the total.
    pub(in crate::cli) fn expect(&self, pages: usize) {
        self.bar.inc_length(pages as u64);
    }

    /// Counts a page.
    pub(in crate::cli) fn page(&self) {
        self.bar.inc(1);
    }

    /// Hides the bar while `write` writes to the terminal.
    pub(in crate::cli) fn pause<T>(&self, write: impl FnOnce() -> T) -> T {
        self.bar.suspend(write)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
