//! Conversion of a page's own coordinates to the displayed page.
//!
//! The boxes of a PDF page define its origin; y grows upwards, and the page may be rotated. Spans and pictures are
//! reported as displayed: points, origin top left, y downwards.

use std::ffi::c_int;

use lector_core::Rect;

use crate::worker::library::Handle;
use crate::worker::library::Library;

/// `FS_RECTF`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RectF {
    pub left: f32,
    pub top: f32,
    pub right: f32,
    pub bottom: f32,
}

/// `FS_MATRIX`: x' = a x + c y + e, y' = b x + d y + f.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Matrix {
    pub a: f32,
    pub b: f32,
    pub c: f32,
    pub d: f32,
    pub e: f32,
    pub f: f32,
}

impl Matrix {
    pub(super) const IDENTITY: Matrix = Matrix { a: 1.0, b: 0.0, c: 0.0, d: 1.0, e: 0.0, f: 0.0 };

    /// Applies `self`, then `outer`.
    pub(super) fn then(self, outer: Matrix) -> Matrix {
        Matrix {
            a: self.a * outer.a + self.b * outer.c,
            b: self.a * outer.b + self.b * outer.d,
            c: self.c * outer.a + self.d * outer.c,
            d: self.c * outer.b + self.d * outer.d,
            e: self.e * outer.a + self.f * outer.c + outer.e,
            f: self.e * outer.b + self.f * outer.d + outer.f,
        }
    }

    /// Transforms a point.
    pub(super) fn point(self, x: f32, y: f32) -> (f32, f32) {
        (self.a * x + self.c * y + self.e, self.b * x + self.d * y + self.f)
    }

    /// Returns the factor by which lengths grow, in the mean.
    pub(super) fn scale(self) -> f32 {
        (self.a * self.d - self.b * self.c).abs().sqrt()
    }

    /// Returns the box around the transformed unit square, which is the area of an image.
    pub(super) fn unit_square(self) -> RectF {
        let corners =
            [self.point(0.0, 0.0), self.point(1.0, 0.0), self.point(0.0, 1.0), self.point(1.0, 1.0)];
        let fold = |pick: fn(&(f32, f32)) -> f32, by: fn(f32, f32) -> f32, start: f32| {
            corners.iter().map(pick).fold(start, by)
        };
        RectF {
            left: fold(|p| p.0, f32::min, f32::INFINITY),
            right: fold(|p| p.0, f32::max, f32::NEG_INFINITY),
            bottom: fold(|p| p.1, f32::min, f32::INFINITY),
            top: fold(|p| p.1, f32::max, f32::NEG_INFINITY),
        }
    }
}

/// Visible box and rotation of a page.
#[derive(Clone, Copy, Debug)]
pub(in crate::worker) struct PageSpace {
    visible: RectF,
    /// Clockwise quarter turns.
    turns: c_int,
}

impl PageSpace {
    pub(super) fn of(library: Library, page: Handle) -> Self {
        let mut visible = RectF::default();
        // SAFETY: the page is open, and RectF has the layout of FS_RECTF.
        let turns = unsafe {
            library.c.FPDF_GetPageBoundingBox(page.cast(), (&raw mut visible).cast());
            library.c.FPDFPage_GetRotation(page.cast())
        };
        Self { visible, turns }
    }

    /// Returns width and height as displayed.
    pub(in crate::worker) fn extent(&self) -> (f32, f32) {
        let (width, height) =
            (self.visible.right - self.visible.left, self.visible.top - self.visible.bottom);
        if self.turns % 2 == 0 { (width, height) } else { (height, width) }
    }

    /// Converts a point to the displayed page.
    pub(super) fn point(&self, x: f32, y: f32) -> (f32, f32) {
        let v = &self.visible;
        match self.turns {
            1 => (y - v.bottom, x - v.left),
            2 => (v.right - x, y - v.bottom),
            3 => (v.top - y, v.right - x),
            _ => (x - v.left, v.top - y),
        }
    }

    /// Converts a point of the displayed page to the page's own coordinates: the reverse of [`PageSpace::point`].
    pub(in crate::worker) fn point_of_page(&self, x: f32, y: f32) -> (f32, f32) {
        let v = &self.visible;
        match self.turns {
            1 => (y + v.left, x + v.bottom),
            2 => (v.right - x, y + v.bottom),
            3 => (v.right - y, v.top - x),
            _ => (x + v.left, v.top - y),
        }
    }

    /// Converts a direction to the displayed page.
    pub(super) fn direction(&self, x: f32, y: f32) -> (f32, f32) {
        match self.turns {
            1 => (y, x),
            2 => (-x, y),
            3 => (-y, -x),
            _ => (x, -y),
        }
    }

    /// Converts a rectangle to the displayed page.
    pub(super) fn rect(&self, r: RectF) -> Rect {
        let (x0, y0) = self.point(r.left, r.bottom);
        let (x1, y1) = self.point(r.right, r.top);
        Rect { x: x0.min(x1), y: y0.min(y1), width: (x1 - x0).abs(), height: (y1 - y0).abs() }
    }

    /// Returns the part of a displayed rectangle that is on the page; `None` where it is off the page.
    pub(super) fn clip(&self, r: Rect) -> Option<Rect> {
        // For NaN, `max` and `min` would return the whole page.
        if ![r.x, r.y, r.width, r.height].iter().all(|number| number.is_finite()) {
            return None;
        }
        let (width, height) = self.extent();
        let (x0, y0) = (r.x.max(0.0), r.y.max(0.0));
        let (x1, y1) = ((r.x + r.width).min(width), (r.y + r.height).min(height));
        (x1 > x0 && y1 > y0).then_some(Rect { x: x0, y: y0, width: x1 - x0, height: y1 - y0 })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn the_corner_of_the_visible_box_follows_the_rotation() {
        // A box 100 wide, 200 high, away from the origin; its top left corner in page coordinates.
        let visible = RectF { left: 10.0, bottom: 20.0, right: 110.0, top: 220.0 };
        let expect = [(0.0, 0.0), (200.0, 0.0), (100.0, 200.0), (0.0, 100.0)];
        for (turns, expect) in (0..).zip(expect) {
            let space = PageSpace { visible, turns };
            assert_eq!(space.point(10.0, 220.0), expect, "{turns} quarter turns");
            let there = space.point(37.0, 51.0);
            assert_eq!(space.point_of_page(there.0, there.1), (37.0, 51.0), "{turns} quarter turns");
        }
        let space = PageSpace { visible, turns: 1 };
        assert_eq!(space.extent(), (200.0, 100.0));
        let rect = space.rect(RectF { left: 10.0, bottom: 200.0, right: 20.0, top: 220.0 });
        assert_eq!(rect, Rect { x: 180.0, y: 0.0, width: 20.0, height: 10.0 });
        assert_eq!(space.clip(Rect { x: 190.0, y: 90.0, width: 50.0, height: 50.0 }).unwrap().width, 10.0);
        assert!(space.clip(Rect { x: 300.0, y: 0.0, width: 5.0, height: 5.0 }).is_none());
        assert!(space.clip(Rect { x: f32::NAN, y: 0.0, width: f32::NAN, height: 5.0 }).is_none());
    }

    #[test]
    fn matrices_chain_inside_out() {
        let scale = Matrix { a: 2.0, d: 3.0, ..Matrix::IDENTITY };
        let shift = Matrix { e: 10.0, f: 20.0, ..Matrix::IDENTITY };
        let square = scale.then(shift).unit_square();
        assert_eq!((square.left, square.right, square.bottom, square.top), (10.0, 12.0, 20.0, 23.0));
    }
}
