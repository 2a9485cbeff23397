#![allow(clippy::unwrap_used)]
use super::*;
use crate::geometry::{Point, Rect, Rotation};
use crate::rules::Rule;
use proptest::prelude::*;

const PAGE: (f32, f32) = (1000.0, 1400.0);
const LINE: f32 = 20.0;

/// A position on the page.
type At = (f32, f32);

#[derive(Default)]
struct Page {
    boxes: Vec<Quad>,
    rules: Vec<Rule>,
}

impl Page {
    fn text(&mut self, x: f32, y: f32, width: f32) -> &mut Self {
        self.boxes.push(Quad::from_rect(&Rect { x, y, width, height: LINE }));
        self
    }

    /// Adds lines drawn from one point to another.
    fn rules(&mut self, ends: &[(At, At)]) -> &mut Self {
        let point = |(x, y): (f32, f32)| Point::new(x, y);
        self.rules.extend(ends.iter().map(|&(from, to)| Rule { from: point(from), to: point(to) }));
        self
    }

    /// Adds lines of running text with a pitch of 24, the last one short.
    fn paragraph(&mut self, x: f32, y: f32, width: f32, lines: usize) -> &mut Self {
        for i in 0..lines {
            let width = if i + 1 == lines { width * 0.4 } else { width };
            self.text(x, y + 24.0 * i as f32, width);
        }
        self
    }

    /// Adds full lines of running text with another pitch.
    fn lines(&mut self, x: f32, y: f32, width: f32, pitch: f32, lines: usize) -> &mut Self {
        for i in 0..lines {
            self.text(x, y + pitch * i as f32, width);
        }
        self
    }

    /// Adds one row of a table.
    fn row(&mut self, y: f32, cells: &[(f32, f32)]) -> &mut Self {
        cells.iter().for_each(|&(x, width)| {
            self.text(x, y, width);
        });
        self
    }

    /// Checks that the shuffled boxes come back in the order in which they were added.
    #[track_caller]
    fn check(&self) -> Vec<Placed> {
        let count = self.boxes.len();
        let mut order: Vec<usize> = (0..count).collect();
        order.sort_by_key(|i| (i * 7919 + 13) % 1009);
        let shuffled: Vec<Quad> = order.iter().map(|&i| self.boxes[i]).collect();
        let placed = reading_order(&shuffled, &self.rules, PAGE);
        let found: Vec<usize> = placed.iter().map(|p| order[p.index]).collect();
        assert_eq!(found, (0..count).collect::<Vec<_>>());
        placed
    }

    fn tilted(&self, angle: f32) -> Self {
        let center = Point::new(PAGE.0 / 2.0, PAGE.1 / 2.0);
        let tilted = |p: Point| p.turned_about(center, angle);
        Self {
            boxes: self.boxes.iter().map(|q| Quad(q.0.map(tilted))).collect(),
            rules: self.rules.iter().map(|r| Rule { from: tilted(r.from), to: tilted(r.to) }).collect(),
        }
    }
}

fn two_columns() -> Page {
    let mut page = Page::default();
    page.text(250.0, 60.0, 500.0).text(400.0, 100.0, 200.0);
    page.paragraph(100.0, 160.0, 380.0, 12).paragraph(100.0, 470.0, 380.0, 18);
    page.paragraph(520.0, 160.0, 380.0, 7).paragraph(520.0, 350.0, 380.0, 23);
    page
}

#[test]
fn one_column() {
    let mut page = Page::default();
    page.text(300.0, 50.0, 400.0).paragraph(100.0, 120.0, 800.0, 6).paragraph(100.0, 300.0, 800.0, 10);
    let placed = page.check();
    let blocks: Vec<u32> = placed.iter().map(|p| p.block).collect();
    assert_eq!((blocks[0], blocks[1], blocks[6], blocks[7]), (0, 1, 1, 2), "heading and two paragraphs");
}

#[test]
fn two_columns_under_a_title() {
    two_columns().check();
}

/// A page in a script from right to left is the mirrored page.
#[test]
fn from_right_to_left_the_right_column_is_the_first() {
    let mut table = Page::default();
    table.text(250.0, 60.0, 500.0);
    for row in 0..5 {
        table.row(120.0 + 40.0 * row as f32, &[(100.0, 120.0), (300.0, 60.0), (500.0, 60.0)]);
    }
    let mut form = Page::default();
    form.row(105.0, &[(110.0, 100.0), (420.0, 200.0)]).row(165.0, &[(110.0, 300.0), (420.0, 100.0)]);
    form.rules(&[
        ((100.0, 100.0), (700.0, 100.0)),
        ((100.0, 160.0), (700.0, 160.0)),
        ((100.0, 220.0), (700.0, 220.0)),
    ]);
    form.rules(&[
        ((100.0, 100.0), (100.0, 220.0)),
        ((400.0, 100.0), (400.0, 220.0)),
        ((700.0, 100.0), (700.0, 220.0)),
    ]);
    for page in [two_columns(), two_columns().tilted(0.03), table, form] {
        let order = reading_order(&page.boxes, &page.rules, PAGE);
        let at = |x: f32| PAGE.0 - x;
        let boxes: Vec<Quad> = page.boxes.iter().map(|quad| quad.mirrored(PAGE.0 / 2.0)).collect();
        let rules: Vec<Rule> = page
            .rules
            .iter()
            .map(|rule| Rule {
                from: Point::new(at(rule.to.x), rule.to.y),
                to: Point::new(at(rule.from.x), rule.from.y),
            })
            .collect();
        assert_eq!(reading_order_from_right(&boxes, &rules, PAGE), order);
    }
}

#[test]
fn columns_whose_lines_share_baselines() {
    let mut page = Page::default();
    page.text(100.0, 50.0, 800.0).paragraph(100.0, 100.0, 385.0, 40).paragraph(505.0, 100.0, 385.0, 40);
    page.check();
}

/// The white space that both have in common is no border of rows: it is that between the lines of each.
#[test]
fn columns_of_different_pitch() {
    for pitch in [30.0, 34.0, 38.0, 42.0] {
        let mut page = Page::default();
        page.lines(100.0, 200.0, 560.0, pitch, 12).lines(100.0, 230.0 + 12.0 * pitch, 560.0, 28.0, 15);
        page.lines(700.0, 200.0, 240.0, 28.0, 5).lines(700.0, 380.0, 240.0, 28.0, 18);
        page.check();
    }
}

#[test]
fn three_columns() {
    let mut page = Page::default();
    page.text(200.0, 40.0, 600.0);
    for (x, from) in [(60.0, 100.0), (365.0, 110.0), (670.0, 95.0)] {
        page.paragraph(x, from, 270.0, 14).paragraph(x, from + 360.0, 270.0, 22);
    }
    page.check();
}

#[test]
fn a_heading_across_the_columns_ends_them() {
    let mut page = Page::default();
    page.paragraph(100.0, 100.0, 380.0, 10).paragraph(520.0, 100.0, 380.0, 10);
    page.text(250.0, 380.0, 500.0);
    page.paragraph(100.0, 430.0, 380.0, 10).paragraph(520.0, 430.0, 380.0, 10);
    page.check();
}

#[test]
fn columns_of_uneven_length_and_a_footnote_across() {
    let mut page = Page::default();
    page.paragraph(100.0, 100.0, 380.0, 30).paragraph(520.0, 100.0, 380.0, 12);
    page.paragraph(100.0, 900.0, 800.0, 3);
    page.check();
}

/// Makes a form of four rows; the cells of the second and third are read one by one, the third holds two rows of
/// answers.
fn form() -> Page {
    let mut page = Page::default();
    page.text(110.0, 105.0, 500.0);
    page.text(110.0, 135.0, 150.0)
        .text(110.0, 157.0, 120.0)
        .text(510.0, 135.0, 160.0)
        .text(510.0, 157.0, 90.0);
    page.text(110.0, 185.0, 160.0).text(110.0, 207.0, 170.0).text(110.0, 229.0, 140.0);
    page.text(320.0, 187.0, 250.0)
        .text(600.0, 187.0, 120.0)
        .text(320.0, 225.0, 240.0)
        .text(600.0, 225.0, 130.0);
    page.text(110.0, 257.0, 300.0);
    page.rules(&[
        ((100.0, 100.0), (900.0, 100.0)),
        ((100.0, 130.0), (900.0, 130.0)),
        ((100.0, 180.0), (900.0, 180.0)),
        ((300.0, 217.0), (900.0, 217.0)),
        ((100.0, 252.0), (900.0, 252.0)),
        ((500.0, 130.0), (500.0, 180.0)),
        ((300.0, 180.0), (300.0, 252.0)),
    ]);
    page
}

#[test]
fn a_form_is_read_cell_by_cell() {
    form().check();
    form().tilted(0.03).check();
}

#[test]
fn a_table_with_upright_rules_alone_is_read_row_by_row() {
    let mut page = Page::default();
    for i in 0..8 {
        page.row(110.0 + 26.0 * i as f32, &[(110.0, 150.0), (420.0, 100.0), (720.0, 120.0)]);
    }
    page.rules(&[((100.0, 100.0), (900.0, 100.0)), ((100.0, 320.0), (900.0, 320.0))]);
    page.rules(&[((400.0, 100.0), (400.0, 320.0)), ((700.0, 100.0), (700.0, 320.0))]);
    page.check();
}

#[test]
fn an_underline_cuts_nothing() {
    let mut page = two_columns();
    page.rules(&[((100.0, 330.0), (300.0, 330.0)), ((520.0, 420.0), (700.0, 420.0))]);
    page.check();
}

#[test]
fn a_running_head_stands_above_a_heading_at_the_other_margin() {
    let mut page = Page::default();
    page.text(700.0, 60.0, 200.0).text(100.0, 86.0, 400.0).paragraph(100.0, 160.0, 800.0, 8);
    page.check();
}

#[test]
fn a_table_inside_a_column() {
    let mut page = Page::default();
    page.paragraph(100.0, 100.0, 380.0, 12);
    for i in 0..6 {
        page.row(420.0 + 26.0 * i as f32, &[(110.0, 120.0), (280.0, 60.0), (400.0, 60.0)]);
    }
    page.paragraph(100.0, 610.0, 380.0, 12);
    page.paragraph(520.0, 103.0, 380.0, 33);
    page.check();
}

#[test]
fn a_table_is_read_row_by_row() {
    let mut page = Page::default();
    page.text(100.0, 60.0, 500.0);
    for i in 0..20 {
        let y = 120.0 + 24.0 * i as f32;
        page.row(
            y,
            &[
                (100.0, 90.0 + 15.0 * (i % 4) as f32),
                (300.0, 60.0),
                (420.0, 60.0),
                (560.0, 80.0),
                (700.0, 60.0),
            ],
        );
    }
    page.check();
}

#[test]
fn a_table_of_wide_names_is_no_page_of_columns() {
    let mut page = Page::default();
    for i in 0..25 {
        let name = 120.0 + 25.0 * (i % 6) as f32;
        page.row(100.0 + 28.0 * i as f32, &[(80.0, name), (400.0, 190.0), (680.0, 60.0), (800.0, 80.0)]);
    }
    page.check();
}

#[test]
fn wrapped_cells_are_read_to_their_end() {
    let mut page = Page::default();
    page.row(100.0, &[(100.0, 40.0), (200.0, 300.0), (600.0, 60.0), (750.0, 60.0)]);
    for i in 0..4 {
        let y = 150.0 + 80.0 * i as f32;
        page.text(100.0, y, 40.0);
        page.text(200.0, y, 320.0).text(200.0, y + 22.0, 300.0).text(200.0, y + 44.0, 150.0);
        page.text(600.0, y, 60.0).text(750.0, y, 60.0);
    }
    page.check();
}

#[test]
fn an_invoice() {
    let mut page = Page::default();
    // Sender and receiver side by side, not on common baselines; then particulars, then the items.
    page.text(80.0, 60.0, 180.0).text(80.0, 86.0, 220.0).text(80.0, 112.0, 140.0).text(80.0, 138.0, 200.0);
    page.text(600.0, 72.0, 210.0).text(600.0, 98.0, 260.0).text(600.0, 124.0, 160.0);
    page.row(230.0, &[(80.0, 120.0), (300.0, 100.0)]).row(256.0, &[(80.0, 90.0), (300.0, 130.0)]);
    for i in 0..8 {
        page.row(
            340.0 + 36.0 * i as f32,
            &[(80.0, 30.0), (160.0, 320.0), (560.0, 40.0), (680.0, 70.0), (830.0, 80.0)],
        );
    }
    page.row(680.0, &[(680.0, 90.0), (830.0, 80.0)]).row(706.0, &[(680.0, 60.0), (830.0, 80.0)]);
    page.text(80.0, 800.0, 700.0);
    page.check();
}

#[test]
fn addresses_on_common_baselines_are_blocks() {
    let mut page = Page::default();
    page.text(80.0, 40.0, 600.0);
    for x in [80.0, 520.0] {
        for (i, width) in [120.0, 210.0, 260.0, 150.0].into_iter().enumerate() {
            page.text(x, 120.0 + 24.0 * i as f32, width);
        }
    }
    page.text(80.0, 300.0, 700.0);
    page.check();
}

#[test]
fn a_sidebar() {
    let mut page = Page::default();
    page.text(100.0, 40.0, 800.0);
    page.paragraph(60.0, 110.0, 200.0, 9).paragraph(60.0, 400.0, 200.0, 8);
    page.paragraph(320.0, 100.0, 600.0, 20).paragraph(320.0, 610.0, 600.0, 12);
    page.check();
}

#[test]
fn numbers_in_the_margin_go_with_their_lines() {
    let mut page = Page::default();
    for i in 0..30 {
        page.row(100.0 + 26.0 * i as f32, &[(60.0, 25.0), (120.0, if i % 7 == 6 { 300.0 } else { 760.0 })]);
    }
    page.check();
}

#[test]
fn terms_go_before_their_descriptions() {
    let mut page = Page::default();
    for i in 0..6 {
        let y = 100.0 + 90.0 * i as f32;
        page.text(80.0, y, 100.0).text(240.0, y, 650.0).text(240.0, y + 24.0, 640.0).text(
            240.0,
            y + 48.0,
            200.0,
        );
    }
    page.check();
}

#[test]
fn contents_with_page_numbers() {
    let mut page = Page::default();
    for i in 0..20 {
        page.row(100.0 + 30.0 * i as f32, &[(100.0 + 20.0 * (i % 3) as f32, 400.0), (880.0, 30.0)]);
    }
    page.check();
}

#[test]
fn skewed_pages() {
    for angle in [-0.09, -0.03, 0.02, 0.07] {
        two_columns().tilted(angle).check();
    }
}

#[test]
fn pages_on_their_side_or_head() {
    // Quads in reading direction of a page that was not turned.
    for quarters in [1, 2, 3] {
        let rotation = Rotation::from_quarters(quarters);
        let turned = Page {
            boxes: two_columns().boxes.iter().map(|q| q.turned(rotation, PAGE.0, PAGE.1)).collect(),
            ..Page::default()
        };
        turned.check();
    }
}

#[test]
fn a_stamp_in_the_margin_comes_last() {
    let mut page = two_columns();
    page.boxes.push(Quad::from_rect(&Rect { x: 20.0, y: 300.0, width: 25.0, height: 600.0 }));
    page.check();
}

#[test]
fn lines_grown_together_across_the_gutter_do_not_end_the_columns() {
    let mut page = Page::default();
    page.paragraph(100.0, 100.0, 380.0, 10);
    // The detector joined the eleventh line of the left column with a number at the gutter.
    page.text(100.0, 340.0, 440.0);
    page.paragraph(100.0, 364.0, 380.0, 10);
    page.paragraph(520.0, 100.0, 380.0, 10);
    page.text(560.0, 340.0, 340.0);
    page.paragraph(520.0, 364.0, 380.0, 10);
    page.check();
}

#[test]
fn fragments_are_one_line_and_cells_are_not() {
    let mut page = Page::default();
    page.row(100.0, &[(100.0, 200.0), (310.0, 150.0), (472.0, 300.0)]).text(100.0, 124.0, 600.0);
    let lines: Vec<u32> = page.check().iter().map(|p| p.line).collect();
    assert_eq!(lines, [0, 0, 0, 1]);
    let mut page = Page::default();
    page.row(100.0, &[(100.0, 200.0), (400.0, 150.0), (700.0, 100.0)]);
    let lines: Vec<u32> = page.check().iter().map(|p| p.line).collect();
    assert_eq!(lines, [0, 1, 2]);
}

#[test]
fn joined_lines_keep_their_direction() {
    let whole = Quad::from_rect(&Rect { x: 100.0, y: 100.0, width: 400.0, height: 20.0 });
    let whole = Quad(whole.0.map(|p| p.turned_about(Point::new(300.0, 110.0), 0.2)));
    let joined = join_line(&[whole.slice(0.0, 0.3), whole.slice(0.32, 1.0)]).unwrap();
    assert!((0..4).all(|i| joined.0[i].distance(whole.0[i]) < 0.1), "{joined:?}");
    assert_eq!(join_line(&[]), None);
}

#[test]
fn strange_boxes_are_placed_all_the_same() {
    let nan = Quad([Point::new(f32::NAN, 1.0); 4]);
    let placed = reading_order(&[nan, Quad::default(), Quad::default(), nan], &[], PAGE);
    let order: Vec<usize> = placed.iter().map(|p| p.index).collect();
    assert_eq!(order, [1, 2, 0, 3]);
    assert!(reading_order(&[], &[], PAGE).is_empty());
}

proptest! {
    #[test]
    fn every_box_once_and_numbers_rise(
        boxes in prop::collection::vec((0f32..900.0, 0f32..1300.0, 1f32..600.0, 4f32..60.0, -0.2f32..0.2), 0..150)
    ) {
        let quads: Vec<Quad> = boxes
            .iter()
            .map(|&(x, y, width, height, angle)| {
                let rect = Rect { x, y, width, height };
                Quad(Quad::from_rect(&rect).0.map(|p| p.turned_about(rect.center(), angle)))
            })
            .collect();
        let placed = reading_order(&quads, &[], PAGE);
        let mut seen: Vec<usize> = placed.iter().map(|p| p.index).collect();
        seen.sort_unstable();
        prop_assert_eq!(seen, (0..quads.len()).collect::<Vec<_>>());
        for pair in placed.windows(2) {
            prop_assert!(pair[0].block <= pair[1].block && pair[0].line <= pair[1].line);
            prop_assert!(pair[0].block == pair[1].block || pair[0].line < pair[1].line);
        }
        let again = reading_order(&quads, &[], PAGE);
        prop_assert_eq!(placed, again);
        let mut seen: Vec<usize> = reading_order_from_right(&quads, &[], PAGE).iter().map(|p| p.index).collect();
        seen.sort_unstable();
        prop_assert_eq!(seen, (0..quads.len()).collect::<Vec<_>>());
    }
}

#[test]
fn a_paragraph_upside_down_is_read_from_its_lower_right() {
    let mut page = Page::default();
    page.paragraph(100.0, 100.0, 600.0, 3);
    for line in 0..3 {
        // The first line is the lowest.
        let rect = Rect { x: 300.0, y: 500.0 + 24.0 * (2 - line) as f32, width: 500.0, height: LINE };
        page.boxes.push(Quad::from_rect(&rect).rotated_corners(Rotation::Half));
    }
    page.paragraph(100.0, 800.0, 600.0, 3);
    page.check();
}

#[test]
fn a_diagonal_watermark_comes_after_the_text() {
    let mut page = Page::default();
    page.paragraph(100.0, 200.0, 800.0, 30);
    let center = Point::new(500.0, 500.0);
    let mark = Quad::from_rect(&Rect { x: 200.0, y: 440.0, width: 600.0, height: 120.0 });
    page.boxes.push(Quad(mark.0.map(|p| p.turned_about(center, -0.8))));
    page.check();
}
