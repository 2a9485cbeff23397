//! From a recognizer's steps to text: greedy CTC decoding with a confidence and a position for every character, words
//! with their boxes, joining of pieces of a long line. After Graves, Fernandez, Gomez, Schmidhuber: "Connectionist
//! Temporal Classification", ICML 2006 (best path decoding, section 3.2).
//!
//! The host has already computed argmax and max over the classes, so a step is one label and one probability. Texts of
//! labels come from the model's description; this module does not use a dictionary.

mod gaps;
mod join;
mod words;

pub use join::{Part, join};
pub use words::{Word, words};

/// The label for "no character".
pub const BLANK: i64 = 0;

/// A character: a run of equal steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Symbol {
    /// Index into the model's labels; never the blank.
    pub label: u32,
    /// Greatest probability of its steps, 0 to 1: the steps beside the peak already tend to the blank.
    pub confidence: f32,
    /// First step.
    pub from_step: usize,
    /// End of the steps (exclusive).
    pub to_step: usize,
}

/// One row of a recognizer's output.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decoded {
    /// Its characters in order.
    pub symbols: Vec<Symbol>,
    /// Number of steps that show content; positions are fractions of it.
    pub steps: usize,
}

/// Returns the number of steps that show content, for a crop that takes `content_width` of `padded_width` columns in a
/// model that gives `steps` steps for the padded width. A step that is partly content counts.
pub fn content_steps(steps: usize, content_width: u32, padded_width: u32) -> usize {
    if padded_width == 0 || content_width >= padded_width {
        return steps;
    }
    let exact = steps as u64 * u64::from(content_width);
    usize::try_from(exact.div_ceil(u64::from(padded_width))).unwrap_or(steps).min(steps)
}

/// Decodes one row: labels and probabilities per step, of which the first `content_steps` count; the rest is padding.
/// Equal neighboring labels are one character; the blank is no character. Labels outside `u32` count as blank.
pub fn decode(ids: &[i64], confidence: &[f32], content_steps: usize) -> Decoded {
    let steps = content_steps.min(ids.len()).min(confidence.len());
    let mut symbols: Vec<Symbol> = Vec::new();
    let mut previous = BLANK;
    for (step, (&id, &probability)) in ids.iter().zip(confidence).take(steps).enumerate() {
        if id != BLANK
            && let Ok(label) = u32::try_from(id)
        {
            match symbols.last_mut() {
                Some(last) if id == previous => {
                    last.to_step = step + 1;
                    last.confidence = last.confidence.max(probability);
                }
                _ => symbols.push(Symbol {
                    label,
                    confidence: probability,
                    from_step: step,
                    to_step: step + 1,
                }),
            }
        }
        previous = id;
    }
    Decoded { symbols, steps }
}

/// Returns the labels that occur, ascending and unique, to request their texts from the model.
pub fn labels_used(rows: &[Decoded]) -> Vec<u32> {
    let mut labels: Vec<u32> = rows.iter().flat_map(|r| r.symbols.iter().map(|s| s.label)).collect();
    labels.sort_unstable();
    labels.dedup();
    labels
}

/// A character with its position on the line.
#[derive(Clone, Debug, PartialEq)]
pub struct Glyph {
    /// Its text: one character in most cases.
    pub text: String,
    /// Probability, 0 to 1.
    pub confidence: f32,
    /// Start, as a fraction of the line's length.
    pub from: f32,
    /// End, as a fraction of the line's length.
    pub to: f32,
}

/// A line as read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// Its characters in order, spaces included.
    pub glyphs: Vec<Glyph>,
}

impl Reading {
    /// Returns the characters as one string, without white space at both ends.
    pub fn text(&self) -> String {
        let text: String = self.glyphs.iter().map(|g| g.text.as_str()).collect();
        text.trim().to_owned()
    }

    /// Returns the mean probability of the characters other than spaces, 0 to 1; 0 without any.
    pub fn confidence(&self) -> f32 {
        let (mut sum, mut count) = (0.0, 0u32);
        for glyph in self.glyphs.iter().filter(|g| !g.text.trim().is_empty()) {
            sum += glyph.confidence;
            count += 1;
        }
        if count == 0 { 0.0 } else { sum / count as f32 }
    }
}

/// Replaces labels with texts. A character extends from the midpoint between its steps and those of the previous
/// character to the midpoint before the next one, but at most one typical character width to either side, so that gaps
/// between words stay free. A gap wider than its letters is a space, also where the recognizer reads none.
pub fn reading<'a>(decoded: &Decoded, label: impl Fn(u32) -> Option<&'a str>) -> Reading {
    let steps = decoded.steps.max(1) as f32;
    let advance = words::typical_advance(&decoded.symbols);
    let reach = advance * 0.6;
    let middle = |s: &Symbol| (s.from_step + s.to_step) as f32 / 2.0;
    let typical = gaps::typical(decoded.symbols.iter().filter_map(|s| Some((label(s.label)?, middle(s)))));
    let mut glyphs: Vec<Glyph> = Vec::with_capacity(decoded.symbols.len());
    for (i, symbol) in decoded.symbols.iter().enumerate() {
        let Some(text) = label(symbol.label) else { continue };
        let here = middle(symbol);
        let neighbor = i.checked_sub(1).and_then(|j| decoded.symbols.get(j));
        if let (Some(neighbor), Some(last), Some(typical)) = (neighbor, glyphs.last(), typical)
            && gaps::is_space(middle(neighbor), here, &last.text, text, typical)
        {
            let confidence = last.confidence.min(symbol.confidence);
            glyphs.push(Glyph {
                text: " ".to_owned(),
                confidence,
                from: last.to,
                to: (here - reach).max(0.0) / steps,
            });
        }
        let before = i.checked_sub(1).and_then(|j| decoded.symbols.get(j)).map_or(0.0, middle);
        let after = decoded.symbols.get(i + 1).map_or(steps, middle);
        let left = if i == 0 { (here - reach).max(0.0) } else { (here - reach).max((before + here) / 2.0) };
        let last = i + 1 == decoded.symbols.len();
        let right = if last { (here + reach).min(steps) } else { (here + reach).min((here + after) / 2.0) };
        glyphs.push(Glyph {
            text: text.to_owned(),
            confidence: symbol.confidence,
            from: left / steps,
            to: right / steps,
        });
    }
    Reading { glyphs }
}

#[cfg(test)]
mod tests;
