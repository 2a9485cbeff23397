//! Convex hull (Andrew 1979, monotone chain) and minimum-area rectangle by rotating calipers (Shamos 1978; Freeman &
//! Shapira 1975: one side of the rectangle lies on an edge of the hull).

use super::Point;

fn cross(o: Point, a: Point, b: Point) -> f32 {
    (a.x - o.x) * (b.y - o.y) - (a.y - o.y) * (b.x - o.x)
}

/// Returns the corners of the convex hull, clockwise as seen on the page (y down), without points on its edges. Sorts
/// `points`. Fewer than three distinct points, or collinear points, give a hull of fewer corners.
pub fn convex_hull(points: &mut Vec<Point>) -> Vec<Point> {
    points.retain(|p| p.x.is_finite() && p.y.is_finite());
    points.sort_unstable_by(|a, b| a.x.total_cmp(&b.x).then(a.y.total_cmp(&b.y)));
    points.dedup();
    if points.len() < 3 {
        return points.clone();
    }
    let mut hull: Vec<Point> = Vec::with_capacity(32);
    let chain = |points: &mut dyn Iterator<Item = &Point>, hull: &mut Vec<Point>| {
        let start = hull.len();
        for &p in points {
            while let [.., a, b] = hull[start..] {
                if cross(a, b, p) > 0.0 {
                    break;
                }
                hull.pop();
            }
            hull.push(p);
        }
        hull.pop();
    };
    chain(&mut points.iter(), &mut hull);
    chain(&mut points.iter().rev(), &mut hull);
    hull
}

/// Returns the rectangle of least area around a convex hull, corners clockwise as seen on the page; `None` for an empty
/// hull. For a single point or a segment the rectangle has no width.
pub fn min_area_rect(hull: &[Point]) -> Option<[Point; 4]> {
    let n = hull.len();
    let first = *hull.first()?;
    if n == 1 {
        return Some([first; 4]);
    }
    if n == 2 {
        let last = *hull.last()?;
        return Some([first, last, last, first]);
    }
    let mut best: Option<(f32, [Point; 4])> = None;
    // Indices of the hull's corners that lie farthest along the edge, across it, and back along it.
    let (mut right, mut far, mut left) = (1, 1, 0);
    for i in 0..n {
        let (a, b) = (hull[i], hull[(i + 1) % n]);
        let length = a.distance(b);
        if length <= 0.0 {
            continue;
        }
        let (ux, uy) = ((b.x - a.x) / length, (b.y - a.y) / length);
        let along = |p: Point| (p.x - a.x) * ux + (p.y - a.y) * uy;
        let across = |p: Point| (p.y - a.y) * ux - (p.x - a.x) * uy;
        // Each caliper only advances: n steps each over the whole loop, and at most n per edge.
        for _ in 0..n {
            if along(hull[(right + 1) % n]) < along(hull[right % n]) {
                break;
            }
            right += 1;
        }
        far = far.max(right);
        for _ in 0..n {
            if across(hull[(far + 1) % n]) < across(hull[far % n]) {
                break;
            }
            far += 1;
        }
        left = left.max(far);
        for _ in 0..n {
            if along(hull[(left + 1) % n]) > along(hull[left % n]) {
                break;
            }
            left += 1;
        }
        let (from, to, depth) = (along(hull[left % n]), along(hull[right % n]), across(hull[far % n]));
        let area = (to - from) * depth;
        if best.is_none_or(|(least, _)| area < least) {
            let at = |s: f32, t: f32| Point::new(a.x + ux * s - uy * t, a.y + uy * s + ux * t);
            best = Some((area, [at(from, 0.0), at(to, 0.0), at(to, depth), at(from, depth)]));
        }
    }
    best.map(|(_, corners)| corners)
}
