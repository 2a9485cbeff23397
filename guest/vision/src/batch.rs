//! Batching of lines of different widths for a recognizer: sorted by width and padded to a few widths, so that little
//! is computed on padding and the engine sees few shapes.
//!
//! Planning only; the guest builds the tensors.

/// The allowed widths of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Widths<'a> {
    /// These widths, ascending (for an engine that is prepared for a few shapes).
    Buckets(&'a [u32]),
    /// Multiples of a step.
    Step(u32),
}

impl Widths<'_> {
    /// Returns the smallest allowed width of at least `width` columns. If `width` exceeds every bucket, returns the
    /// widest one, and the caller must split or squeeze the row.
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
    /// Indices of the rows in the given widths.
    pub members: Vec<usize>,
}

/// Plans runs over rows of the given widths. Every row is in exactly one batch; the widest batches come first, because
/// they take longest. A batch has at most `max_batch` rows, and at most `waste_max` (0 to 1) of its columns are
/// padding, as far as the widths allow: a single row is always accepted. `columns_max` bounds rows times width, that is
/// the memory of a run; a wider row is a batch of its own.
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
            // Rows come widest first, so a batch has the width of its first row. A row of the same bucket joins at no
            // cost, whatever its padding: alone, it would be padded to the same width.
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
