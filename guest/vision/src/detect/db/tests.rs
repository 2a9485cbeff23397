#![allow(clippy::unwrap_used)]
use super::*;

/// What the standard steps detect with by default.
const OPTIONS: DbOptions =
    DbOptions { threshold: 0.3, box_threshold: 0.5, unclip_ratio: 1.6, side_min: 3.0, boxes_max: 8000 };

/// Draws a map with filled (possibly tilted) rectangles of probability `value`.
fn draw(width: usize, height: usize, shapes: &[(Quad, u8)]) -> Vec<u8> {
    let mut map = vec![0u8; width * height];
    for (quad, value) in shapes {
        for row in 0..height {
            if let Some((left, right)) = span_at(quad, row as f32 + 0.5) {
                for x in
                    (left - 0.5).ceil().max(0.0) as usize..=((right - 0.5).floor() as usize).min(width - 1)
                {
                    map[row * width + x] = *value;
                }
            }
        }
    }
    map
}

fn upright(x: f32, y: f32, width: f32, height: f32) -> Quad {
    Quad::from_rect(&crate::geometry::Rect { x, y, width, height })
}

#[test]
fn grows_the_kernel_as_the_paper_does() {
    let map = draw(400, 100, &[(upright(50.0, 40.0, 200.0, 10.0), 230)]);
    let found = boxes(&map, 400, 100, &OPTIONS).unwrap().boxes;
    assert_eq!(found.len(), 1);
    // 200 * 10 * 1.6 / 420 = 7.62 on every side.
    let bounds = found[0].quad.bounds();
    assert!((bounds.x - 42.38).abs() < 0.01 && (bounds.width - 215.24).abs() < 0.02, "{bounds:?}");
    assert!((bounds.y - 32.38).abs() < 0.01 && (bounds.height - 25.24).abs() < 0.02, "{bounds:?}");
    assert!((found[0].score - 230.0 / 255.0).abs() < 1e-3);
}

#[test]
fn keeps_the_tilt_of_long_lines_and_stands_short_ones_up() {
    let center = Point::new(200.0, 100.0);
    let tilted = Quad(upright(60.0, 94.0, 280.0, 12.0).0.map(|p| p.turned_about(center, 0.1)));
    let short = Quad(upright(20.0, 20.0, 14.0, 12.0).0.map(|p| p.turned_about(Point::new(27.0, 26.0), 0.3)));
    let found = boxes(&draw(400, 200, &[(tilted, 255), (short, 255)]), 400, 200, &OPTIONS).unwrap().boxes;
    assert_eq!(found.len(), 2);
    assert!((found[1].quad.angle() - 0.1).abs() < 0.01, "{}", found[1].quad.angle());
    assert_eq!(found[0].quad.angle(), 0.0);
}

#[test]
fn drops_the_faint_and_the_tiny() {
    let shapes = [
        (upright(10.0, 10.0, 50.0, 8.0), 100),
        (upright(10.0, 30.0, 50.0, 2.0), 255),
        (upright(10.0, 50.0, 50.0, 8.0), 250),
    ];
    let found = boxes(&draw(100, 80, &shapes), 100, 80, &OPTIONS).unwrap().boxes;
    assert_eq!(found.len(), 1, "one is faint, one is two pixels high");
    assert!(found[0].quad.bounds().y > 40.0);
}

#[test]
fn stays_inside_the_map() {
    let found =
        boxes(&draw(60, 20, &[(upright(0.0, 0.0, 60.0, 20.0), 255)]), 60, 20, &OPTIONS).unwrap().boxes;
    let bounds = found[0].quad.bounds();
    assert_eq!((bounds.x, bounds.y, bounds.width, bounds.height), (0.0, 0.0, 60.0, 20.0));
}

#[test]
fn of_too_many_boxes_the_largest_stay() {
    let options = DbOptions { boxes_max: 3, ..OPTIONS };
    let shapes: Vec<_> = [60.0, 20.0, 50.0, 30.0, 40.0]
        .iter()
        .enumerate()
        .map(|(i, &width)| (upright(5.0, 10.0 + 15.0 * i as f32, width, 6.0), 255))
        .collect();
    let found = boxes(&draw(80, 90, &shapes), 80, 90, &options).unwrap();
    assert_eq!((found.boxes.len(), found.left_out), (3, 2));
    let tops: Vec<f32> = found.boxes.iter().map(|text| text.quad.bounds().y).collect();
    assert!(tops.is_sorted(), "{tops:?}");
    assert!(found.boxes.iter().all(|text| text.quad.width() > 40.0));
}

#[test]
fn refuses_what_it_cannot_hold() {
    let options = DbOptions { boxes_max: 2, ..OPTIONS };
    assert_eq!(boxes(&[0; 10], 3, 4, &options), Err(DetectError::Shape { expected: 12, got: 10 }));
    assert_eq!(boxes(&[], 0, 0, &options), Ok(Found::default()));
    let noise: Vec<u8> = (0..256 * 256).map(|i| if (i + i / 256) % 2 == 0 { 255 } else { 0 }).collect();
    assert_eq!(boxes(&noise, 256, 256, &options), Err(DetectError::Noise { limit: 2 }));
}
