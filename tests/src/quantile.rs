//! Quantiles by nearest rank, used for all figures here. `lector-bench` includes this file, because it is the only code
//! that both need.

/// Returns the least of the sorted values that a `share` of them does not exceed (nearest rank: a measured value, the
/// larger one in doubt). NaN for an empty slice.
pub fn quantile(sorted: &[f64], share: f64) -> f64 {
    // Rounding: a share like 0.07 times a hundred is slightly more than 7.
    let rank = (sorted.len() as f64 * share - 1e-9).ceil() as usize;
    let last = sorted.len().saturating_sub(1);
    sorted.get(rank.saturating_sub(1).min(last)).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::quantile;

    #[test]
    fn the_value_at_the_rank_and_no_other() {
        let check = |count: u32, share: f64, expect: f64| {
            let sorted: Vec<f64> = (1..=count).map(f64::from).collect();
            assert_eq!(quantile(&sorted, share), expect, "{share} of {count}");
        };
        check(1, 0.5, 1.0);
        check(1, 0.99, 1.0);
        check(2, 0.5, 1.0);
        check(3, 0.5, 2.0);
        check(60, 0.99, 60.0);
        check(100, 0.99, 99.0);
        check(101, 0.99, 100.0);
        check(100, 0.07, 7.0);
        check(1000, 0.95, 950.0);
        check(10, 0.0, 1.0);
        check(10, 1.0, 10.0);
        assert!(quantile(&[], 0.5).is_nan());
    }
}
