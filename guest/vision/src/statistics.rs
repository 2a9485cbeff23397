//! Order statistics of measures such as line heights.

/// Returns the value at a fraction of the sorted values; 0 for none.
pub(crate) fn quantile(values: &mut [f32], share: f32) -> f32 {
    values.sort_unstable_by(f32::total_cmp);
    let at = (values.len().saturating_sub(1) as f32 * share).round() as usize;
    values.get(at).copied().unwrap_or(0.0)
}

/// Returns the value that half of the weight lies below, of pairs of value and weight; 0 for none.
pub fn weighted_median(values: impl IntoIterator<Item = (f32, f32)>) -> f32 {
    let mut values: Vec<(f32, f32)> = values.into_iter().collect();
    values.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let half = values.iter().map(|(_, weight)| weight).sum::<f32>() / 2.0;
    let mut passed = 0.0;
    for (value, weight) in values {
        passed += weight;
        if passed >= half {
            return value;
        }
    }
    0.0
}
