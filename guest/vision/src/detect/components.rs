//! Connected components of a thresholded map, 8-connected, as runs of pixels: one pass finds the runs (64 pixels per
//! loop iteration), union-find joins runs that touch from row to row (Rosenfeld & Pfaltz 1966, on runs), and a
//! component is returned as the outline points that a convex hull needs.

use crate::geometry::Point;

/// Pixels of one row, `from` inclusive, `to` exclusive. `parent` leads towards the first run of its component.
struct Run {
    row: u32,
    from: u32,
    to: u32,
    parent: u32,
}

/// Returns a bit mask of the bytes that are greater than `limit`; the lowest bit is the first byte.
fn greater(chunk: &[u8; 64], limit: u8) -> u64 {
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    const ONES: u64 = 0x0101_0101_0101_0101;
    // Compares eight bytes at once in one word: adding `127 - low bits of limit` to the low seven bits of a byte
    // carries into its eighth bit exactly where they are greater; the eighth bits themselves decide the other cases.
    let carry = u64::from(0x7f - (limit & 0x7f)) * ONES;
    let mut mask = 0u64;
    for (i, bytes) in chunk.as_chunks::<8>().0.iter().enumerate() {
        let word = u64::from_le_bytes(*bytes);
        let low = (word & LOW) + carry;
        let high = if limit < 0x80 { low | word } else { low & word };
        // Gathers the eighth bit of every byte into one byte.
        let bits = ((high >> 7) & ONES).wrapping_mul(0x0102_0408_1020_4080) >> 56;
        mask |= bits << (8 * i);
    }
    mask
}

/// Returns the runs of a map in row order; `None` if there are more than `runs_max`.
fn runs(map: &[u8], width: usize, limit: u8, runs_max: usize) -> Option<Vec<Run>> {
    let mut runs: Vec<Run> = Vec::new();
    for (row, line) in map.chunks_exact(width).enumerate() {
        let row = row as u32;
        let mut open: Option<u32> = None;
        let (chunks, rest) = line.as_chunks::<64>();
        let mut tail = [0u8; 64];
        for (place, byte) in tail.iter_mut().zip(rest) {
            *place = *byte;
        }
        for (i, chunk) in chunks.iter().chain(std::iter::once(&tail)).enumerate() {
            let start = (i * 64) as u32;
            let mut mask = greater(chunk, limit);
            match open {
                None if mask == 0 => continue,
                Some(_) if mask == u64::MAX => continue,
                _ => {}
            }
            // Each iteration ends the open run or opens one; `mask` has a bit set where the next such edge may be.
            let mut at = 0u32;
            while at < 64 {
                let looked_for = if open.is_some() { !mask } else { mask };
                let edge = looked_for.trailing_zeros();
                if edge >= 64 {
                    break;
                }
                match open.take() {
                    None => open = Some(start + edge),
                    Some(from) => {
                        let parent = runs.len() as u32;
                        runs.push(Run { row, from, to: start + edge, parent });
                    }
                }
                // Everything before the edge has been handled; a set bit in either sense must not be found again.
                at = edge + 1;
                let seen = (1u64 << edge) | ((1u64 << edge) - 1);
                mask = if open.is_some() { mask | seen } else { mask & !seen };
            }
        }
        if let Some(from) = open {
            let parent = runs.len() as u32;
            runs.push(Run { row, from, to: width as u32, parent });
        }
        if runs.len() > runs_max {
            return None;
        }
    }
    Some(runs)
}

/// Returns the first run of the component of `run`, and shortens the path for later calls.
fn root(runs: &mut [Run], mut run: u32) -> u32 {
    loop {
        let parent = runs[run as usize].parent;
        if parent == run {
            return run;
        }
        let grandparent = runs[parent as usize].parent;
        runs[run as usize].parent = grandparent;
        run = grandparent;
    }
}

/// Joins runs of neighboring rows that touch, including at corners.
fn connect(runs: &mut [Run]) {
    let (mut above, mut here) = (0, 0);
    // `above` and `here` walk through two neighboring rows at once; both only advance, so the walk is linear.
    while here < runs.len() {
        let (a, b) = (&runs[above], &runs[here]);
        if above >= here || a.row + 1 > b.row {
            here += 1;
            // The first run of a new row may touch runs of the row above that the previous run had passed.
            continue;
        }
        if a.row + 1 < b.row || a.to < b.from {
            above += 1;
            continue;
        }
        let (a_to, b_to) = (a.to, b.to);
        if a.from <= b.to {
            let (i, j) = (root(runs, above as u32), root(runs, here as u32));
            let (first, second) = (i.min(j), i.max(j));
            runs[second as usize].parent = first;
        }
        if a_to < b_to {
            above += 1;
        } else {
            here += 1;
        }
    }
}

/// A chain of long runs that touch from row to row: a line drawn nearly along the rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Stroke {
    /// Its left end.
    pub(crate) from: Point,
    /// Its right end.
    pub(crate) to: Point,
    /// Number of rows that it covers.
    pub(crate) rows: u32,
}

/// Returns the lines drawn along the rows of a map: runs of at least `run_min` pixels greater than `limit`, joined
/// where they touch. `None` if the map has more than `runs_max` runs.
pub(crate) fn strokes(
    map: &[u8],
    width: usize,
    limit: u8,
    run_min: u32,
    runs_max: usize,
) -> Option<Vec<Stroke>> {
    let mut runs = runs(map, width, limit, runs_max)?;
    runs.retain(|run| run.to - run.from >= run_min);
    for (i, run) in runs.iter_mut().enumerate() {
        run.parent = i as u32;
    }
    connect(&mut runs);
    let mut of_root: Vec<u32> = vec![u32::MAX; runs.len()];
    let mut strokes: Vec<(Stroke, u32)> = Vec::new();
    for i in 0..runs.len() {
        let top = root(&mut runs, i as u32) as usize;
        let run = &runs[i];
        let (from, to) = (
            Point::new(run.from as f32, run.row as f32 + 0.5),
            Point::new(run.to as f32, run.row as f32 + 0.5),
        );
        if of_root[top] == u32::MAX {
            of_root[top] = strokes.len() as u32;
            strokes.push((Stroke { from, to, rows: 1 }, run.row));
        }
        let (stroke, first) = &mut strokes[of_root[top] as usize];
        if from.x < stroke.from.x {
            stroke.from = from;
        }
        if to.x > stroke.to.x {
            stroke.to = to;
        }
        stroke.rows = run.row - *first + 1;
    }
    Some(strokes.into_iter().map(|(stroke, _)| stroke).collect())
}

/// Returns the components of the pixels greater than `limit`, topmost first, each as the outer corners of its pixels
/// row by row (which contain the corners of its convex hull). Components of fewer than `rows_min` rows and columns are
/// left out. `None` if the map has more than `runs_max` runs.
pub(super) fn components(
    map: &[u8],
    width: usize,
    limit: u8,
    rows_min: u32,
    runs_max: usize,
) -> Option<Vec<Vec<Point>>> {
    let mut runs = runs(map, width, limit, runs_max)?;
    connect(&mut runs);
    let mut of_root: Vec<u32> = vec![u32::MAX; runs.len()];
    let mut rows: Vec<Vec<(u32, u32, u32)>> = Vec::new();
    for i in 0..runs.len() {
        let top = root(&mut runs, i as u32) as usize;
        if of_root[top] == u32::MAX {
            of_root[top] = rows.len() as u32;
            rows.push(Vec::new());
        }
        let (run, own) = (&runs[i], &mut rows[of_root[top] as usize]);
        match own.last_mut() {
            Some((row, from, to)) if *row == run.row => {
                *from = (*from).min(run.from);
                *to = (*to).max(run.to);
            }
            _ => own.push((run.row, run.from, run.to)),
        }
    }
    let outline = |rows: Vec<(u32, u32, u32)>| {
        let left = rows.iter().map(|r| r.1).min()?;
        let right = rows.iter().map(|r| r.2).max()?;
        if (rows.len() as u32) < rows_min || right - left < rows_min {
            return None;
        }
        let corners = |&(row, from, to): &(u32, u32, u32)| {
            let (top, bottom) = (row as f32, (row + 1) as f32);
            let (from, to) = (from as f32, to as f32);
            [Point::new(from, top), Point::new(to, top), Point::new(from, bottom), Point::new(to, bottom)]
        };
        Some(rows.iter().flat_map(corners).collect())
    };
    Some(rows.into_iter().filter_map(outline).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Makes a map from a drawing: `#` is certain, anything else is empty.
    fn map(drawing: &[&str]) -> (Vec<u8>, usize) {
        let bytes = drawing.iter().flat_map(|row| row.bytes().map(|b| if b == b'#' { 255 } else { 0 }));
        (bytes.collect(), drawing[0].len())
    }

    fn count(drawing: &[&str]) -> usize {
        let (map, width) = map(drawing);
        components(&map, width, 76, 1, 1000).unwrap().len()
    }

    #[test]
    fn joins_what_touches() {
        assert_eq!(count(&["#..", ".#.", "..#"]), 1, "corners touch");
        assert_eq!(count(&["##.##", ".....", "##.##"]), 4);
        assert_eq!(count(&["#.#.#", "#.#.#", "#####"]), 1, "a comb is one");
        assert_eq!(count(&["#####", "#...#", "#.#.#", "#...#", "#####"]), 2, "a ring and its core");
        assert_eq!(count(&["..#..", "#...#", ".###."]), 2);
        assert_eq!(count(&["...", "..."]), 0);
    }

    #[test]
    fn compares_like_bytes() {
        for limit in 0..=255u8 {
            for start in [0u8, 64, 128, 192] {
                let chunk: [u8; 64] = std::array::from_fn(|i| start.wrapping_add(i as u8));
                let expect =
                    chunk.iter().enumerate().fold(0u64, |m, (i, &b)| m | (u64::from(b > limit) << i));
                assert_eq!(greater(&chunk, limit), expect, "limit {limit} start {start}");
            }
        }
    }

    #[test]
    fn agrees_with_flood_fill() {
        // A small generator (xorshift) of maps of all densities; widths around the chunk size of 64.
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        for case in 0..60 {
            let (width, height) = (1 + (random() % 140) as usize, 1 + (random() % 24) as usize);
            let density = random() % 100;
            let map: Vec<u8> =
                (0..width * height).map(|_| u8::from(random() % 100 < density) * 200).collect();
            let ours = components(&map, width, 76, 1, 1 << 20).unwrap();
            let mut seen = vec![false; map.len()];
            let mut boxes = Vec::new();
            for start in 0..map.len() {
                if map[start] == 0 || seen[start] {
                    continue;
                }
                let (mut left, mut right, mut top, mut bottom) = (width, 0, height, 0);
                let mut stack = vec![start];
                seen[start] = true;
                while let Some(at) = stack.pop() {
                    let (x, y) = (at % width, at / width);
                    (left, right, top, bottom) =
                        (left.min(x), right.max(x + 1), top.min(y), bottom.max(y + 1));
                    for (nx, ny) in (x.saturating_sub(1)..=(x + 1).min(width - 1)).flat_map(|nx| {
                        (y.saturating_sub(1)..=(y + 1).min(height - 1)).map(move |ny| (nx, ny))
                    }) {
                        let next = ny * width + nx;
                        if map[next] != 0 && !seen[next] {
                            seen[next] = true;
                            stack.push(next);
                        }
                    }
                }
                boxes.push((left as f32, top as f32, right as f32, bottom as f32));
            }
            let mut mine: Vec<_> = ours
                .iter()
                .map(|points| {
                    points.iter().fold((1e9f32, 1e9f32, 0f32, 0f32), |b, p| {
                        (b.0.min(p.x), b.1.min(p.y), b.2.max(p.x), b.3.max(p.y))
                    })
                })
                .collect();
            let order = |a: &(f32, f32, f32, f32), b: &(f32, f32, f32, f32)| a.partial_cmp(b).unwrap();
            mine.sort_by(order);
            boxes.sort_by(order);
            assert_eq!(mine, boxes, "case {case}: {width}x{height} at {density} %");
        }
    }

    #[test]
    fn bounds_its_runs() {
        let map: Vec<u8> = (0..64 * 64).map(|i| if i % 2 == 0 { 255 } else { 0 }).collect();
        assert!(components(&map, 64, 76, 1, 100).is_none());
    }
}
