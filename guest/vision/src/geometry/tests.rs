#![allow(clippy::unwrap_used)]
use super::*;
use proptest::prelude::*;

fn close(a: Point, b: Point) -> bool {
    a.distance(b) < 1e-2
}

/// Returns the least area over all edges of the hull, by brute force.
fn least_area(hull: &[Point]) -> f32 {
    let n = hull.len();
    (0..n)
        .filter_map(|i| {
            let (a, b) = (hull[i], hull[(i + 1) % n]);
            let length = a.distance(b);
            (length > 0.0).then(|| {
                let (ux, uy) = ((b.x - a.x) / length, (b.y - a.y) / length);
                let range = |f: &dyn Fn(&Point) -> f32| {
                    hull.iter().map(f).fold((f32::MAX, f32::MIN), |(l, h), v| (l.min(v), h.max(v)))
                };
                let (s0, s1) = range(&|p| p.x * ux + p.y * uy);
                let (t0, t1) = range(&|p| p.y * ux - p.x * uy);
                (s1 - s0) * (t1 - t0)
            })
        })
        .fold(f32::MAX, f32::min)
}

fn grid_points() -> impl Strategy<Value = Vec<Point>> {
    prop::collection::vec((0i16..200, 0i16..60), 1..80)
        .prop_map(|v| v.into_iter().map(|(x, y)| Point::new(f32::from(x), f32::from(y))).collect())
}

proptest! {
    #[test]
    fn hull_holds_every_point_and_turns_one_way(mut points in grid_points()) {
        let all = points.clone();
        let hull = convex_hull(&mut points);
        let n = hull.len();
        if n >= 3 {
            for i in 0..n {
                let (a, b) = (hull[i], hull[(i + 1) % n]);
                for p in &all {
                    let side = (b.x - a.x) * (p.y - a.y) - (b.y - a.y) * (p.x - a.x);
                    prop_assert!(side >= 0.0, "{p:?} lies outside {a:?} {b:?}");
                }
            }
        }
    }

    #[test]
    fn calipers_find_the_least_rectangle(mut points in grid_points()) {
        let hull = convex_hull(&mut points);
        let corners = min_area_rect(&hull).unwrap();
        if hull.len() >= 3 {
            let (ours, least) = (Quad(corners).area(), least_area(&hull));
            prop_assert!((ours - least).abs() <= 1e-3 * least.max(1.0), "{ours} against {least}");
            let grown = Quad(corners).expanded(0.05, 0.05);
            for p in &hull {
                // Inside: on the inner side of every edge (clockwise order).
                for i in 0..4 {
                    let (a, b) = (grown.0[i], grown.0[(i + 1) % 4]);
                    let side = (b.x - a.x) * (p.y - a.y) - (b.y - a.y) * (p.x - a.x);
                    prop_assert!(side >= -1e-2, "{p:?} outside");
                }
            }
        }
    }

    #[test]
    fn upright_keeps_the_shape(x in -50f32..50.0, y in -50f32..50.0, w in 20f32..100.0, h in 2f32..20.0,
                               angle in -0.7f32..0.7, first in 0usize..4) {
        let rect = Quad::from_rect(&Rect { x, y, width: w, height: h });
        let turned = Quad(rect.0.map(|p| p.turned_about(rect.center(), angle)));
        let shuffled: [Point; 4] = std::array::from_fn(|i| turned.0[(i + first) % 4]);
        let again = Quad::upright(shuffled);
        prop_assert!((0..4).all(|i| close(again.0[i], turned.0[i])), "{again:?} {turned:?}");
        prop_assert!((again.angle() - angle).abs() < 1e-3);
    }

    #[test]
    fn turning_back_gives_the_quad(x in 0f32..50.0, y in 0f32..50.0, w in 1f32..100.0, h in 1f32..20.0, q in 0u32..4) {
        let quad = Quad::from_rect(&Rect { x, y, width: w, height: h });
        let rotation = Rotation::from_quarters(q);
        let (pw, ph) = (200.0, 90.0);
        let (tw, th) = if q % 2 == 0 { (pw, ph) } else { (ph, pw) };
        let back = quad.turned(rotation, pw, ph).turned(rotation.inverse(), tw, th);
        prop_assert!((0..4).all(|i| close(back.0[i], quad.0[i])));
        prop_assert!((quad.turned(rotation, pw, ph).area() - quad.area()).abs() < 0.05 * quad.area().max(1.0));
    }

    #[test]
    fn expanding_and_shrinking_cancel(w in 10f32..100.0, h in 5f32..20.0, by in 0.5f32..2.0, angle in -3f32..3.0) {
        let rect = Quad::from_rect(&Rect { x: 3.0, y: 4.0, width: w, height: h });
        let quad = Quad(rect.0.map(|p| p.turned_about(rect.center(), angle)));
        let grown = quad.expanded(by, by);
        prop_assert!((grown.width() - w - 2.0 * by).abs() < 1e-2 && (grown.height() - h - 2.0 * by).abs() < 1e-2);
        let back = grown.expanded(-by, -by);
        prop_assert!((0..4).all(|i| close(back.0[i], quad.0[i])));
    }
}

#[test]
fn corners_follow_the_reader() {
    let quad = Quad::from_rect(&Rect { x: 0.0, y: 0.0, width: 10.0, height: 4.0 });
    assert_eq!(quad.rotated_corners(Rotation::Half).0[0], Point::new(10.0, 4.0));
    let down = quad.rotated_corners(Rotation::Quarter);
    assert!((down.angle() - std::f32::consts::FRAC_PI_2).abs() < 1e-5, "runs downwards");
    assert_eq!((down.width(), down.height()), (4.0, 10.0));
    assert_eq!(quad.slice(0.25, 0.75).bounds(), Rect { x: 2.5, y: 0.0, width: 5.0, height: 4.0 });
}

#[test]
fn degenerate_shapes_are_no_trouble() {
    assert!(min_area_rect(&[]).is_none());
    let p = Point::new(1.0, 2.0);
    assert_eq!(convex_hull(&mut vec![p, p, p]), vec![p]);
    assert_eq!(min_area_rect(&[p]), Some([p; 4]));
    let line = convex_hull(&mut (0..5).map(|i| Point::new(i as f32, i as f32)).collect());
    assert_eq!(line.len(), 2, "points on one line have two ends");
    let nan = Quad([Point::new(f32::NAN, 0.0); 4]);
    assert!(!nan.is_finite() && nan.share_inside(&Rect::default()) == 0.0);
}
