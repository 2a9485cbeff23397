//! How lines of different widths share a recognizer's runs: sorted by width, padded to a few widths, so that little is
//! computed on padding and the engine meets few shapes.
//!
//! Pure planning; the guest builds the tensors.

/// The widths that a run may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Widths<'a> {
    /// These, rising (an engine that is prepared for a few shapes).
    Buckets(&'a [u32]),
    /// Every multiple of a step.
    Step(u32),
}

impl Widths<'_> {
    /// The least width of a run that holds `width` columns; wider than every bucket: the widest one, and the row is to
    /// be split or squeezed by the caller before.
    pub fn fit(&self, width: u32) -> u32 {
        match *self {
            Self::Buckets(buckets) => buckets
                .iter()
                .copied()
                .find(|&b| b >= width)
                .or(buckets.last().copied())
                .unwrap_or(width)
                .max(1),
            Self::Step(step) => width.max(1).next_multiple_of(step.max(1)),
        }
    }
}

/// Rows that are run together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Width that all rows are padded to.
    pub width: u32,
    /// Indices of the rows among the widths given.
    pub members: Vec<usize>,
}

/// Plans runs over rows of the given widths: every row in exactly one batch, the widest batches first (they take
/// longest, so they start first), at most `max_batch` rows each, and in no batch more than `waste_max` (0 to 1) of the
/// columns padding, as far as the widths allow: a single row always goes. `columns_max` bounds rows times width, the
/// memory of a run; a row wider than that goes alone.
pub fn plan(
    widths: &[u32],
    grid: Widths<'_>,
    max_batch: usize,
    waste_max: f32,
    columns_max: u64,
) -> Vec<Batch> {
    let mut order: Vec<usize> = (0..widths.len()).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(widths[i]));
    let mut batches: Vec<Batch> = Vec::new();
    let mut content = 0u64;
    for index in order {
        if let Some(batch) = batches.last_mut() {
            let rows = batch.members.len() as u64 + 1;
            let columns = rows * u64::from(batch.width);
            let filled = content + u64::from(widths[index].min(batch.width));
            let waste = (columns - filled) as f64 / columns as f64;
            // Rows come widest first, so a batch's width is that of its first row; a row that fits the same bucket
            // joins for free whatever its padding, since alone it would be padded as far.
            let same = grid.fit(widths[index]) == batch.width;
            if batch.members.len() < max_batch
                && columns <= columns_max
                && (same || waste <= f64::from(waste_max))
            {
                batch.members.push(index);
                content = filled;
                continue;
            }
        }
        let width = grid.fit(widths[index]);
        content = u64::from(widths[index].min(width));
        batches.push(Batch { width, members: vec![index] });
    }
    batches
}

#[cfg(test)]
mod tests;
