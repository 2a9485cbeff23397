//! Print under stamps: where colored ink lies over print, the detector sees one drawing, and the recognizer the strokes of both.
//! These areas are read a second time without their color, and a line of the second reading replaces what it reads better.
//! Called once for a page that is read from pixels and has colored areas.

use lector_sdk::{Error, Image, Size, span};
use lector_vision::geometry::Rect;
use lector_vision::stamp;

use crate::cascade::Cascade;
use crate::detection::Detector;
use crate::lines::Line;
use crate::pixels;

/// Part of the page's shorter side that is added around a stamp, so that lines which run out of it are whole.
const MARGIN: f32 = 0.06;

/// Part of a stamp that is covered by lines of at least that confidence where it is colored text.
const READ_SHARE: f32 = 0.3;
const SURE: f32 = 0.8;

/// Most pixels of an area.
const PIXELS_MAX: u64 = 6_000_000;

/// Least confidence of a line of the second reading.
const CONFIDENCE_MIN: f32 = 0.6;

/// Part of the smaller of two lines from which they are one.
const SAME: f32 = 0.3;

/// Difference of confidence from which one reading is better, and growth in length that makes up for as much.
const BETTER: f32 = 0.05;
const LONGER: f32 = 1.1;

/// Reads the print under stamps; `lines` are those of the first reading.
pub(crate) async fn read_under(
    image: &Image,
    detector: &Detector,
    recognizer: &Cascade,
    lines: &mut Vec<Line>,
) -> Result<(), Error> {
    let _span = span("stamps");
    for area in areas(image, lines).await? {
        let size = Size { width: area.width as u32, height: area.height as u32 };
        if u64::from(size.width) * u64::from(size.height) > PIXELS_MAX {
            continue;
        }
        let mut rgb = image.read(area.x as u32, area.y as u32, size)?;
        stamp::without_color(&mut rgb);
        let plain = Image::from_rgb(size, &rgb)?;
        drop(rgb);
        let boxes = detector.find(&plain).await?.boxes;
        let quads = recognizer.reading_quads(&boxes);
        let readings = recognizer.read(&plain, &quads).await?;
        for ((text, quad), reading) in boxes.iter().zip(quads).zip(readings) {
            let Some(reading) = reading else { continue };
            let detected = text.quad.translated(area.x, area.y);
            let quad = quad.translated(area.x, area.y);
            keep_better(lines, Line { detected, quad, reading, flipped: false });
        }
    }
    Ok(())
}

/// Returns the stamps with their surroundings, in whole pixels of the image. An area that lines cover which were read with
/// confidence is colored text.
async fn areas(image: &Image, lines: &[Line]) -> Result<Vec<Rect>, Error> {
    let small = pixels::thumbnail(image).await?;
    let (own, size) = (image.size(), small.size());
    let found = stamp::stamps(&small.read(0, 0, size)?, size.width as usize, size.height as usize);
    let (x, y) = (own.width as f32 / size.width as f32, own.height as f32 / size.height as f32);
    let margin = MARGIN * own.width.min(own.height) as f32;
    let page = Rect { x: 0.0, y: 0.0, width: own.width as f32, height: own.height as f32 };
    let is_read = |stamp: &Rect| {
        let sure = lines.iter().filter(|line| line.reading.confidence() >= SURE);
        let read: f32 = sure.map(|line| line.detected.bounds().intersection(stamp).area()).sum();
        read >= READ_SHARE * stamp.area()
    };
    let around = |stamp: Rect| {
        // Lines run across a stamp: beside it they go on for as much as it is wide.
        let side = margin.max(stamp.width / 2.0);
        let grown = Rect::from_edges(
            (stamp.x - side).floor(),
            (stamp.y - margin).floor(),
            (stamp.right() + side).ceil(),
            (stamp.bottom() + margin).ceil(),
        );
        grown.intersection(&page)
    };
    let found = found.iter().map(|stamp| stamp.scaled(x, y)).filter(|stamp| !is_read(stamp));
    Ok(found.map(around).filter(|area| area.width >= 1.0 && area.height >= 1.0).collect())
}

/// Adds a line, in place of the lines that it reads better; drops it where they are better.
fn keep_better(lines: &mut Vec<Line>, line: Line) {
    if line.reading.text().is_empty() || line.reading.confidence() < CONFIDENCE_MIN {
        return;
    }
    let own = line.detected.bounds();
    let is_same = |other: &Line| {
        let area = other.detected.bounds();
        area.intersection(&own).area() >= SAME * area.area().min(own.area())
    };
    let (mut length, mut sum) = (0.0, 0.0);
    for other in lines.iter().filter(|other| is_same(other)) {
        let part = other.detected.bounds().intersection(&own).width;
        length += part;
        sum += part * other.reading.confidence();
    }
    let known = if length > 0.0 { sum / length } else { 0.0 };
    let confidence = line.reading.confidence();
    let is_longer = own.width >= LONGER * length && confidence >= known - BETTER;
    if length == 0.0 || confidence >= known + BETTER || is_longer {
        lines.retain(|other| !is_same(other));
        lines.push(line);
    }
}

#[cfg(test)]
mod tests {
    use lector_vision::ctc::{Glyph, Reading};

    use lector_vision::geometry::Quad;

    use super::*;

    fn line(text: &str, confidence: f32, x: f32, width: f32) -> Line {
        let quad = Quad::from_rect(&Rect { x, y: 100.0, width, height: 20.0 });
        let glyph = |c: char| Glyph { text: c.to_string(), confidence, from: 0.0, to: 1.0 };
        let reading = Reading { glyphs: text.chars().map(glyph).collect() };
        Line { detected: quad, quad, reading, flipped: false }
    }

    #[test]
    fn a_better_reading_replaces_the_lines_that_it_covers_and_a_worse_one_is_dropped() {
        let check = |known: Vec<Line>, second: Line, expect: &[&str]| {
            let mut lines = known;
            keep_better(&mut lines, second);
            let found: Vec<String> = lines.iter().map(|line| line.reading.text()).collect();
            assert_eq!(found, expect);
        };
        let print = || line("Issued on 23 October 2024", 0.99, 100.0, 300.0);
        check(Vec::new(), print(), &["Issued on 23 October 2024"]);
        // A line that the stamp cut short.
        check(vec![line("ssued on 23 October", 0.99, 110.0, 220.0)], print(), &["Issued on 23 October 2024"]);
        // Pieces of the stamp and of the print.
        let pieces = vec![line("Iss", 0.6, 100.0, 40.0), line("OOD", 0.7, 360.0, 40.0)];
        check(pieces, print(), &["Issued on 23 October 2024"]);
        // The first reading was better, or the second one is noise.
        check(vec![print()], line("lssued 0n 23", 0.8, 100.0, 300.0), &["Issued on 23 October 2024"]);
        check(Vec::new(), line("~.", 0.4, 100.0, 30.0), &[]);
        // A line beside it stays.
        check(
            vec![line("gate four", 0.9, 500.0, 90.0)],
            print(),
            &["gate four", "Issued on 23 October 2024"],
        );
    }
}
