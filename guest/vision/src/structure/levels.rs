//! Levels of headings by size: sizes that differ clearly are ranks, and a rank whose headings carry numbers has their depth.
//! Called for the headings of a page, and by the guest for those of a document.

/// The size of a heading.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeadingSize {
    /// Its size, in any unit that all headings share.
    pub size: f32,
    /// Ratio from which a smaller size is a rank of its own.
    pub step: f32,
    /// Depth of its number, see [`super::numbering`].
    pub depth: Option<u8>,
}

/// The ranks of sizes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SizeRanks {
    /// The largest size of each rank, descending.
    sizes: Vec<f32>,
    /// The median depth of the numbers of each rank; `None` where it has none.
    depths: Vec<Option<u8>>,
}

impl SizeRanks {
    /// Ranks the sizes of headings.
    pub fn of(headings: impl IntoIterator<Item = HeadingSize>) -> Self {
        let mut headings: Vec<HeadingSize> = headings.into_iter().collect();
        headings.sort_by(|a, b| b.size.total_cmp(&a.size));
        let mut ranks = Self::default();
        for heading in &headings {
            let is_smaller = |last: &f32| heading.size > 0.0 && last / heading.size > heading.step;
            if ranks.sizes.last().is_none_or(is_smaller) {
                ranks.sizes.push(heading.size);
            }
        }
        let mut depths: Vec<Vec<u8>> = vec![Vec::new(); ranks.sizes.len()];
        for heading in headings {
            if let (Some(depth), Some(all)) = (heading.depth, depths.get_mut(ranks.rank(heading.size))) {
                all.push(depth);
            }
        }
        let median = |mut all: Vec<u8>| {
            all.sort_unstable();
            all.get(all.len() / 2).copied()
        };
        ranks.depths = depths.into_iter().map(median).collect();
        ranks
    }

    /// Returns the number of ranks.
    pub fn count(&self) -> usize {
        self.sizes.len()
    }

    /// Returns the rank of a size: 0 for the largest, and for one that is larger than all.
    pub fn rank(&self, size: f32) -> usize {
        self.sizes.iter().rposition(|own| *own >= size * 0.999).unwrap_or(0)
    }

    /// Returns the median depth of the numbers of a rank; `None` where it has none.
    pub fn depth(&self, rank: usize) -> Option<u8> {
        self.depths.get(rank).copied().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_differ_clearly_are_ranks_with_the_depth_of_their_numbers() {
        let heading = |(size, depth)| HeadingSize { size, step: 1.1, depth };
        for (sizes, ranks, depths) in [
            (&[][..], &[][..], &[][..]),
            (
                &[(10.0, None), (14.0, Some(1)), (13.9, Some(1)), (10.2, Some(2))],
                &[1, 0, 0, 1],
                &[Some(1), Some(2)],
            ),
            (&[(12.0, None), (18.0, None)], &[1, 0], &[None, None]),
            (&[(12.0, Some(3)), (12.0, Some(1)), (12.0, Some(1))], &[0, 0, 0], &[Some(1)]),
            // Headings of a document without sizes.
            (&[(0.0, Some(1)), (0.0, Some(2))], &[0, 0], &[Some(2)]),
        ] {
            let found = SizeRanks::of(sizes.iter().copied().map(heading));
            assert_eq!(sizes.iter().map(|(size, _)| found.rank(*size)).collect::<Vec<_>>(), ranks);
            assert_eq!((0..found.count()).map(|rank| found.depth(rank)).collect::<Vec<_>>(), depths);
        }
    }
}
