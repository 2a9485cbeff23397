//! From a recognizer's steps to text: greedy CTC decoding with a confidence and a place for every character, words with
//! their boxes, pieces of a long line joined again. After Graves, Fernandez, Gomez, Schmidhuber: "Connectionist Temporal
//! Classification", ICML 2006 (best path decoding, section 3.2).
//!
//! The host has already taken argmax and max over the classes, so a step is one label and one probability. Texts of
//! labels come from the model's description; this module never sees a dictionary.

mod join;
mod words;

pub use join::{Part, join};
pub use words::{Word, words};

/// The label that stands for "no character".
pub const BLANK: i64 = 0;

/// A character as a run of equal steps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Symbol {
    /// Index into the model's labels; never the blank.
    pub label: u32,
    /// Greatest probability among its steps, 0 to 1: the neighbours of the peak already lean to the blank.
    pub confidence: f32,
    /// First step.
    pub from_step: usize,
    /// Step after the last.
    pub to_step: usize,
}

/// One row of a recognizer's output.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decoded {
    /// Its characters in order.
    pub symbols: Vec<Symbol>,
    /// Steps that show content; places are shares of this number.
    pub steps: usize,
}

/// Steps of a row's output that show content, where its crop takes `content_width` of `padded_width` columns and the
/// model gives `steps` steps for the padded width. A step that is partly content counts.
pub fn content_steps(steps: usize, content_width: u32, padded_width: u32) -> usize {
    if padded_width == 0 || content_width >= padded_width {
        return steps;
    }
    let exact = steps as u64 * u64::from(content_width);
    usize::try_from(exact.div_ceil(u64::from(padded_width))).unwrap_or(steps).min(steps)
}

/// Decodes one row: labels and probabilities per step, of which the first `content_steps` count; the rest is padding.
/// Equal neighbours are one character, the blank is none. Labels outside `u32` count as blank.
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

/// The labels that occur, rising, each once: what to ask the model for.
pub fn labels_used(rows: &[Decoded]) -> Vec<u32> {
    let mut labels: Vec<u32> = rows.iter().flat_map(|r| r.symbols.iter().map(|s| s.label)).collect();
    labels.sort_unstable();
    labels.dedup();
    labels
}

/// A character with its place on the line.
#[derive(Clone, Debug, PartialEq)]
pub struct Glyph {
    /// Its text: one character, seldom more.
    pub text: String,
    /// Probability, 0 to 1.
    pub confidence: f32,
    /// Where it begins, as a share of the line's length.
    pub from: f32,
    /// Where it ends, as a share of the line's length.
    pub to: f32,
}

/// A line as read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// Its characters in order, spaces included.
    pub glyphs: Vec<Glyph>,
}

impl Reading {
    /// The characters in one string, white space at both ends left out.
    pub fn text(&self) -> String {
        let text: String = self.glyphs.iter().map(|g| g.text.as_str()).collect();
        text.trim().to_owned()
    }

    /// Mean probability of the characters that are no space, 0 to 1; 0 without any.
    pub fn confidence(&self) -> f32 {
        let (mut sum, mut count) = (0.0, 0u32);
        for glyph in self.glyphs.iter().filter(|g| !g.text.trim().is_empty()) {
            sum += glyph.confidence;
            count += 1;
        }
        if count == 0 { 0.0 } else { sum / count as f32 }
    }
}

/// Puts texts in place of labels. A character's place is from the middle between its steps and those of the character
/// before to the middle towards the one after, but at most one typical character's width to either side, so that gaps
/// between words stay free.
pub fn reading<'a>(decoded: &Decoded, label: impl Fn(u32) -> Option<&'a str>) -> Reading {
    let steps = decoded.steps.max(1) as f32;
    let reach = words::typical_advance(&decoded.symbols) * 0.6;
    let middle = |s: &Symbol| (s.from_step + s.to_step) as f32 / 2.0;
    let mut glyphs = Vec::with_capacity(decoded.symbols.len());
    for (i, symbol) in decoded.symbols.iter().enumerate() {
        let Some(text) = label(symbol.label) else { continue };
        let here = middle(symbol);
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
