//! Printed rows: boxes of text on one baseline. For [`crate::layout`] and [`crate::structure`], which differ in the boxes and in
//! which of them stand above each other.

/// Returns the rows of level boxes from top to bottom, each in the order of its middles. `extent` gives the middle of a box and
/// its height. A box joins the last row if its middle is nearer to the mean middle of that row than half of the lowest height,
/// and it is stacked on no member: `is_stacked` gets the member and the box.
pub(crate) fn rows<T>(
    mut boxes: Vec<T>,
    extent: impl Fn(&T) -> (f32, f32),
    is_stacked: impl Fn(&T, &T) -> bool,
) -> Vec<Vec<T>> {
    boxes.sort_by(|a, b| extent(a).0.total_cmp(&extent(b).0));
    // The sum of the middles of each row, and its least height.
    let mut rows: Vec<(f32, f32, Vec<T>)> = Vec::new();
    for one in boxes {
        let (middle, height) = extent(&one);
        match rows.last_mut() {
            Some((sum, low, row))
                if (middle - *sum / row.len() as f32).abs() < 0.5 * low.min(height)
                    && !row.iter().any(|member| is_stacked(member, &one)) =>
            {
                *sum += middle;
                *low = low.min(height);
                row.push(one);
            }
            _ => rows.push((middle, height, vec![one])),
        }
    }
    rows.into_iter().map(|(_, _, row)| row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_near_a_baseline_are_a_row() {
        // Middle, height, column.
        for (boxes, expect) in [
            (&[][..], &[][..]),
            (&[(10.0, 8.0, 'a'), (30.0, 8.0, 'b'), (11.0, 8.0, 'c')], &["ac", "b"]),
            // Half of the lowest height apart is another row.
            (&[(10.0, 8.0, 'a'), (13.0, 4.0, 'b')], &["a", "b"]),
            // The mean of the row counts, not its last member.
            (&[(10.0, 8.0, 'a'), (13.0, 8.0, 'b'), (15.0, 8.0, 'c'), (18.0, 8.0, 'd')], &["abc", "d"]),
            // Boxes of one column are stacked.
            (&[(10.0, 8.0, 'a'), (12.0, 8.0, 'a'), (12.5, 8.0, 'b')], &["a", "ab"]),
        ] {
            let found = rows(boxes.to_vec(), |b: &(f32, f32, char)| (b.0, b.1), |a, b| a.2 == b.2);
            let columns: Vec<String> =
                found.iter().map(|row| row.iter().map(|one| one.2).collect()).collect();
            assert_eq!(columns, expect);
        }
    }
}
