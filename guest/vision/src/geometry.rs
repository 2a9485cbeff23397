//! Points, quads, rectangles and rotations for the other modules. Units are the caller's (pixels or points); y grows
//! downwards, so positive angles are clockwise as seen on the page.

mod hull;

pub use hull::{convex_hull, min_area_rect};

/// A position.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    /// Horizontal, to the right.
    pub x: f32,
    /// Vertical, downwards.
    pub y: f32,
}

impl Point {
    /// Makes a point from its coordinates.
    pub const fn new(x: f32, y: f32) -> Self {
        Self { x, y }
    }

    /// Returns the distance to another point.
    pub fn distance(self, other: Self) -> f32 {
        (self.x - other.x).hypot(self.y - other.y)
    }

    /// Returns the point at fraction `t` of the way to `other`: 0 is this point, 1 is `other`.
    pub fn lerp(self, other: Self, t: f32) -> Self {
        Self::new(self.x + (other.x - self.x) * t, self.y + (other.y - self.y) * t)
    }

    /// Returns the position of the point after its image of `width` by `height` was turned clockwise.
    pub fn turned(self, rotation: Rotation, width: f32, height: f32) -> Self {
        match rotation {
            Rotation::None => self,
            Rotation::Quarter => Self::new(height - self.y, self.x),
            Rotation::Half => Self::new(width - self.x, height - self.y),
            Rotation::ThreeQuarters => Self::new(self.y, width - self.x),
        }
    }

    /// Returns the point turned clockwise by `angle` radians about `center`.
    pub fn turned_about(self, center: Self, angle: f32) -> Self {
        let (sin, cos) = angle.sin_cos();
        let (dx, dy) = (self.x - center.x, self.y - center.y);
        Self::new(center.x + dx * cos - dy * sin, center.y + dx * sin + dy * cos)
    }
}

/// A clockwise rotation by quarter turns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Rotation {
    /// No rotation.
    #[default]
    None,
    /// 90 degrees clockwise.
    Quarter,
    /// 180 degrees.
    Half,
    /// 270 degrees clockwise.
    ThreeQuarters,
}

impl Rotation {
    /// Returns the rotation by `quarters` quarter turns clockwise, modulo full turns.
    pub fn from_quarters(quarters: u32) -> Self {
        match quarters % 4 {
            0 => Self::None,
            1 => Self::Quarter,
            2 => Self::Half,
            _ => Self::ThreeQuarters,
        }
    }

    /// Returns the number of quarter turns clockwise, 0 to 3.
    pub fn quarters(self) -> u32 {
        match self {
            Self::None => 0,
            Self::Quarter => 1,
            Self::Half => 2,
            Self::ThreeQuarters => 3,
        }
    }

    /// Returns the rotation that undoes this one.
    pub fn inverse(self) -> Self {
        Self::from_quarters(4 - self.quarters())
    }
}

/// An axis-aligned rectangle.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rect {
    /// Left edge.
    pub x: f32,
    /// Top edge.
    pub y: f32,
    /// Horizontal extent, never negative.
    pub width: f32,
    /// Vertical extent, never negative.
    pub height: f32,
}

impl Rect {
    /// Makes the rectangle between two edges in each direction; edges in the wrong order give an extent of 0.
    pub fn from_edges(left: f32, top: f32, right: f32, bottom: f32) -> Self {
        Self { x: left, y: top, width: (right - left).max(0.0), height: (bottom - top).max(0.0) }
    }

    /// Returns the right edge.
    pub fn right(&self) -> f32 {
        self.x + self.width
    }

    /// Returns the bottom edge.
    pub fn bottom(&self) -> f32 {
        self.y + self.height
    }

    /// Returns the center.
    pub fn center(&self) -> Point {
        Point::new(self.x + self.width / 2.0, self.y + self.height / 2.0)
    }

    /// Returns width times height.
    pub fn area(&self) -> f32 {
        self.width * self.height
    }

    /// Returns the intersection; extent 0 if the rectangles do not meet.
    pub fn intersection(&self, other: &Self) -> Self {
        Self::from_edges(
            self.x.max(other.x),
            self.y.max(other.y),
            self.right().min(other.right()),
            self.bottom().min(other.bottom()),
        )
    }

    /// Returns the smallest rectangle around both.
    pub fn union(&self, other: &Self) -> Self {
        Self::from_edges(
            self.x.min(other.x),
            self.y.min(other.y),
            self.right().max(other.right()),
            self.bottom().max(other.bottom()),
        )
    }

    /// Returns whether a point lies inside or on the edge.
    pub fn contains(&self, point: Point) -> bool {
        point.x >= self.x && point.x <= self.right() && point.y >= self.y && point.y <= self.bottom()
    }

    /// Returns the rectangle mirrored at the upright line at `x`.
    pub fn mirrored(&self, x: f32) -> Self {
        Self { x: 2.0 * x - self.right(), ..*self }
    }

    /// Returns the rectangle with both axes scaled.
    pub fn scaled(&self, x: f32, y: f32) -> Self {
        Self { x: self.x * x, y: self.y * y, width: self.width * x, height: self.height * y }
    }
}

/// Four corners in the order of a reader of the text: top left, top right, bottom right, bottom left. The order carries
/// the direction of the text: upside-down text has its first corner at the lower right of the page.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quad(pub [Point; 4]);

impl Quad {
    /// Makes the upright quad of a rectangle.
    pub fn from_rect(rect: &Rect) -> Self {
        Self([
            Point::new(rect.x, rect.y),
            Point::new(rect.right(), rect.y),
            Point::new(rect.right(), rect.bottom()),
            Point::new(rect.x, rect.bottom()),
        ])
    }

    /// Makes a quad from the corners of a convex shape, in any rotation of clockwise order (as seen on the page). It
    /// starts at the corner that is top left for text that runs to the right within 45 degrees of level.
    pub fn upright(corners: [Point; 4]) -> Self {
        // The top left corner has the least x + y; ties (a square on its tip) go to the leftmost.
        let mut first = 0;
        for i in 1..4 {
            let (a, b) = (corners[i], corners[first]);
            if (a.x + a.y, a.x) < (b.x + b.y, b.x) {
                first = i;
            }
        }
        Self(std::array::from_fn(|i| corners[(first + i) % 4]))
    }

    /// Returns the mean length of the edges along the text.
    pub fn width(&self) -> f32 {
        let [tl, tr, br, bl] = self.0;
        (tl.distance(tr) + bl.distance(br)) / 2.0
    }

    /// Returns the mean length of the edges across the text.
    pub fn height(&self) -> f32 {
        let [tl, tr, br, bl] = self.0;
        (tl.distance(bl) + tr.distance(br)) / 2.0
    }

    /// Returns the mean of the corners.
    pub fn center(&self) -> Point {
        let sum = self.0.iter().fold(Point::default(), |s, p| Point::new(s.x + p.x, s.y + p.y));
        Point::new(sum.x / 4.0, sum.y / 4.0)
    }

    /// Returns the direction of the text in radians clockwise from "to the right", in (-pi, pi].
    pub fn angle(&self) -> f32 {
        let [tl, tr, br, bl] = self.0;
        ((tr.y - tl.y) + (br.y - bl.y)).atan2((tr.x - tl.x) + (br.x - bl.x))
    }

    /// Returns the area of the polygon (shoelace formula), never negative.
    pub fn area(&self) -> f32 {
        let p = &self.0;
        let twice: f32 = (0..4).map(|i| p[i].x * p[(i + 1) % 4].y - p[(i + 1) % 4].x * p[i].y).sum();
        twice.abs() / 2.0
    }

    /// Returns the smallest axis-aligned rectangle around the corners.
    pub fn bounds(&self) -> Rect {
        let (mut left, mut top, mut right, mut bottom) =
            (f32::INFINITY, f32::INFINITY, f32::NEG_INFINITY, f32::NEG_INFINITY);
        for p in &self.0 {
            left = left.min(p.x);
            top = top.min(p.y);
            right = right.max(p.x);
            bottom = bottom.max(p.y);
        }
        Rect::from_edges(left, top, right, bottom)
    }

    /// Returns the quad around others in the direction of the longest of them; `None` without any.
    pub fn around(quads: &[Self]) -> Option<Self> {
        let longest = quads.iter().max_by(|a, b| a.width().total_cmp(&b.width()))?;
        if quads.len() == 1 {
            return Some(*longest);
        }
        let angle = longest.angle();
        let source = longest.center();
        let level = |quad: &Self| Self(quad.0.map(|p| p.turned_about(source, -angle))).bounds();
        let bounds = quads.iter().fold(level(longest), |around, quad| around.union(&level(quad)));
        Some(Self(Self::from_rect(&bounds).0.map(|p| p.turned_about(source, angle))))
    }

    /// Returns whether every coordinate is finite.
    pub fn is_finite(&self) -> bool {
        self.0.iter().all(|p| p.x.is_finite() && p.y.is_finite())
    }

    /// Returns the point at fractions `u` along and `v` across the text (bilinear).
    pub fn at(&self, u: f32, v: f32) -> Point {
        let [tl, tr, br, bl] = self.0;
        tl.lerp(tr, u).lerp(bl.lerp(br, u), v)
    }

    /// Returns the part between two fractions along the text: `slice(0.0, 0.5)` is its first half.
    pub fn slice(&self, from: f32, to: f32) -> Self {
        let [tl, tr, br, bl] = self.0;
        Self([tl.lerp(tr, from), tl.lerp(tr, to), bl.lerp(br, to), bl.lerp(br, from)])
    }

    /// Returns the same region for text that runs `rotation` further clockwise: the first corner moves on by as many
    /// corners. `Rotation::Half` is the same line read upside down.
    pub fn rotated_corners(&self, rotation: Rotation) -> Self {
        let by = rotation.quarters() as usize;
        Self(std::array::from_fn(|i| self.0[(i + by) % 4]))
    }

    /// Returns the quad with both axes scaled.
    pub fn scaled(&self, x: f32, y: f32) -> Self {
        Self(self.0.map(|p| Point::new(p.x * x, p.y * y)))
    }

    /// Returns the quad moved by `x` and `y`.
    pub fn translated(&self, x: f32, y: f32) -> Self {
        Self(self.0.map(|p| Point::new(p.x + x, p.y + y)))
    }

    /// Returns the quad mirrored at the upright line at `x`. The text runs in the mirrored direction, and its first corner is
    /// where it begins for a reader from the left.
    pub fn mirrored(&self, x: f32) -> Self {
        let [tl, tr, br, bl] = self.0.map(|p| Point::new(2.0 * x - p.x, p.y));
        Self([tr, tl, bl, br])
    }

    /// Returns the quad grown by `along` at both ends of the text and by `across` above and below (negative: shrunk).
    pub fn expanded(&self, along: f32, across: f32) -> Self {
        let (width, height) = (self.width().max(f32::EPSILON), self.height().max(f32::EPSILON));
        let (u, v) = (along / width, across / height);
        Self([self.at(-u, -v), self.at(1.0 + u, -v), self.at(1.0 + u, 1.0 + v), self.at(-u, 1.0 + v)])
    }

    /// Returns the position of the quad after its image of `width` by `height` was turned clockwise. The corner order
    /// is kept, so the text's direction turns with the image.
    pub fn turned(&self, rotation: Rotation, width: f32, height: f32) -> Self {
        Self(self.0.map(|p| p.turned(rotation, width, height)))
    }

    /// Returns the overlap with a rectangle as a fraction (0 to 1) of this quad's own bounds; exact for upright quads,
    /// an upper bound for tilted ones.
    pub fn share_inside(&self, rect: &Rect) -> f32 {
        let own = self.bounds();
        if own.area() <= 0.0 { 0.0 } else { own.intersection(rect).area() / own.area() }
    }
}

#[cfg(test)]
mod tests;
