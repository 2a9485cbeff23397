use super::*;
use proptest::prelude::*;

const WIDE: u64 = u64::MAX;

#[test]
fn fits_grids() {
    assert_eq!(Widths::Step(32).fit(33), 64);
    assert_eq!(Widths::Step(0).fit(33), 33);
    assert_eq!(Widths::Buckets(&[160, 320]).fit(161), 320);
    assert_eq!(Widths::Buckets(&[160, 320]).fit(900), 320, "the widest bucket");
    assert_eq!(Widths::Buckets(&[]).fit(7), 7);
}

#[test]
fn widest_first_and_like_with_like() {
    let batches = plan(&[100, 900, 110, 880, 400], Widths::Step(32), 8, 0.15, WIDE);
    let members: Vec<Vec<usize>> = batches.iter().map(|b| b.members.clone()).collect();
    assert_eq!(members, [vec![1, 3], vec![4], vec![2, 0]]);
    assert_eq!(batches.iter().map(|b| b.width).collect::<Vec<_>>(), [928, 416, 128]);
}

#[test]
fn bounds_rows_and_columns() {
    let widths = [100; 10];
    assert_eq!(plan(&widths, Widths::Step(10), 4, 0.2, WIDE).len(), 3);
    assert_eq!(plan(&widths, Widths::Step(10), 16, 0.2, 300).len(), 4);
    assert_eq!(
        plan(&widths, Widths::Step(10), 16, 0.2, 50).len(),
        10,
        "a row wider than the bound is a batch of its own"
    );
    assert!(plan(&[], Widths::Step(10), 4, 0.2, WIDE).is_empty());
}

proptest! {
    #[test]
    fn every_row_once_and_little_waste(widths in prop::collection::vec(1u32..3200, 0..120), most in 1usize..17,
                                       waste in 0f32..0.5) {
        let batches = plan(&widths, Widths::Step(32), most, waste, 20_000);
        let mut seen: Vec<usize> = batches.iter().flat_map(|b| b.members.clone()).collect();
        seen.sort_unstable();
        prop_assert_eq!(seen, (0..widths.len()).collect::<Vec<_>>());
        for batch in &batches {
            prop_assert!(batch.members.len() <= most && !batch.members.is_empty());
            prop_assert!(batch.members.len() == 1 || batch.members.len() as u64 * u64::from(batch.width) <= 20_000);
            let content: u64 = batch.members.iter().map(|&i| u64::from(widths[i])).sum();
            let columns = batch.members.len() as u64 * u64::from(batch.width);
            prop_assert!(batch.members.iter().all(|&i| widths[i] <= batch.width));
            let same = batch.members.iter().all(|&i| Widths::Step(32).fit(widths[i]) == batch.width);
            let share = (columns - content) as f64 / columns as f64;
            prop_assert!(same || share <= f64::from(waste) + 1e-6);
        }
    }
}
