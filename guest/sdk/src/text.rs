//! Convenience methods of the contract's types: text, geometry, pipeline info.

use crate::{
    BatchingConfig, Direction, Finding, Line, PipelineInfo, Point, Priority, Quad, Rect, Request, Rotation,
    Size, Source, Summary, Transcript,
};

impl Transcript {
    /// Makes a page without text.
    pub fn blank(size: Size, dpi: f32) -> Self {
        Self {
            size,
            dpi,
            rotation: Rotation::None,
            lines: Vec::new(),
            blocks: Vec::new(),
            findings: Vec::new(),
            warnings: Vec::new(),
            properties: None,
        }
    }

    /// Returns the text: a line feed after each line, an empty line between blocks.
    pub fn text(&self) -> String {
        let mut out = String::with_capacity(self.lines.iter().map(|line| line.text.len() + 2).sum());
        let mut block = None;
        for line in &self.lines {
            if block.is_some_and(|before| before != line.block_id) {
                out.push('\n');
            }
            block = Some(line.block_id);
            out.push_str(&line.text);
            out.push('\n');
        }
        out
    }
}

impl Finding {
    /// Makes a finding of `kind` in the line at index `line`, shown as `text`.
    pub fn new(kind: impl Into<String>, text: impl Into<String>, line: u32, quad: Quad) -> Self {
        Self { kind: kind.into(), text: text.into(), value: None, confidence: 1.0, lines: vec![line], quad }
    }

    /// Returns the finding with its normalized value, such as an ISO 8601 date.
    #[must_use]
    pub fn with_value(mut self, value: impl Into<String>) -> Self {
        self.value = Some(value.into());
        self
    }

    /// Returns the finding with a confidence, 0 to 1.
    #[must_use]
    pub fn with_confidence(mut self, confidence: f32) -> Self {
        self.confidence = confidence;
        self
    }

    /// Returns the finding with one more line that it lies in.
    #[must_use]
    pub fn and_line(mut self, line: u32) -> Self {
        self.lines.push(line);
        self
    }
}

impl Line {
    /// Makes a line that was read from pixels, left to right, in block 0, without words.
    pub fn new(text: impl Into<String>, confidence: f32, quad: Quad) -> Self {
        Self {
            text: text.into(),
            confidence,
            quad,
            words: Vec::new(),
            source: Source::Ocr,
            direction: Direction::Ltr,
            block_id: 0,
        }
    }

    /// Returns the mean height of the line, in pixels.
    pub fn height(&self) -> f32 {
        self.quad.height()
    }
}

impl Point {
    /// Makes a position in pixels.
    pub const fn new(x: f32, y: f32) -> Self {
        Self { x, y }
    }

    fn towards(self, other: Self, share: f32) -> Self {
        Self { x: self.x + (other.x - self.x) * share, y: self.y + (other.y - self.y) * share }
    }

    fn distance(self, other: Self) -> f32 {
        (self.x - other.x).hypot(self.y - other.y)
    }
}

impl Quad {
    /// Makes the quad of upright text in `rect`.
    pub const fn from_rect(rect: Rect) -> Self {
        let (right, bottom) = (rect.x + rect.width, rect.y + rect.height);
        Self {
            top_left: Point::new(rect.x, rect.y),
            top_right: Point::new(right, rect.y),
            bottom_right: Point::new(right, bottom),
            bottom_left: Point::new(rect.x, bottom),
        }
    }

    /// Returns the mean extent along the text, in pixels.
    pub fn width(&self) -> f32 {
        (self.top_left.distance(self.top_right) + self.bottom_left.distance(self.bottom_right)) / 2.0
    }

    /// Returns the mean extent across the text, in pixels.
    pub fn height(&self) -> f32 {
        (self.top_left.distance(self.bottom_left) + self.top_right.distance(self.bottom_right)) / 2.0
    }

    /// Returns the part between two fractions along the text (0: its beginning, 1: its end).
    #[must_use]
    pub fn between(&self, from: f32, to: f32) -> Self {
        Self {
            top_left: self.top_left.towards(self.top_right, from),
            top_right: self.top_left.towards(self.top_right, to),
            bottom_right: self.bottom_left.towards(self.bottom_right, to),
            bottom_left: self.bottom_left.towards(self.bottom_right, from),
        }
    }

    /// Returns the smallest upright rectangle around it.
    pub fn bounds(&self) -> Rect {
        let corners = [self.top_left, self.top_right, self.bottom_right, self.bottom_left];
        let (mut left, mut top) = (f32::INFINITY, f32::INFINITY);
        let (mut right, mut bottom) = (f32::NEG_INFINITY, f32::NEG_INFINITY);
        for corner in corners {
            left = left.min(corner.x);
            top = top.min(corner.y);
            right = right.max(corner.x);
            bottom = bottom.max(corner.y);
        }
        Rect { x: left, y: top, width: right - left, height: bottom - top }
    }
}

impl Default for PipelineInfo {
    /// Describes a pipeline without models, batching hints or features.
    fn default() -> Self {
        Self { models: Vec::new(), batching: Vec::new(), features: Vec::new() }
    }
}

impl BatchingConfig {
    /// Makes batching hints for the model with the alias `model` that leave everything to the engine's defaults.
    pub fn of(model: impl Into<String>) -> Self {
        Self {
            model: model.into(),
            max_batch: 0,
            max_wait_us: 0,
            preferred_widths: Vec::new(),
            priority: Priority::Normal,
            isolated: false,
        }
    }
}

impl Default for Request {
    /// Requests the pipeline's defaults.
    fn default() -> Self {
        Self { id: String::new(), dpi: None, text_layer: None, words: false, file_name: None, page_count: 1 }
    }
}

impl Summary {
    /// Makes a summary of `text` without properties.
    pub fn of(text: impl Into<String>) -> Self {
        Self { text: text.into(), properties: None }
    }
}
