//! The header `Accept` (RFC 9110, section 12.5.1): media ranges with weights.

/// Most ranges that are read; the rest is ignored.
const RANGES_MAX: usize = 64;

/// A media range with its weight and its position in the header.
#[derive(Clone, Debug, PartialEq)]
pub struct Range {
    /// The type in lower case, `type/*` or `*/*`.
    pub name: String,
    /// The weight, 0 to 1; 0: not acceptable.
    pub weight: f32,
    position: usize,
}

/// Parses the values of the header. A range with an invalid weight is ignored.
pub fn ranges<'a>(values: impl IntoIterator<Item = &'a str>) -> Vec<Range> {
    let parts = values.into_iter().flat_map(|value| value.split(',')).take(RANGES_MAX).enumerate();
    let range = |(position, text): (usize, &str)| {
        let mut parts = text.split(';').map(str::trim);
        let name = parts.next().filter(|name| !name.is_empty())?.to_ascii_lowercase();
        let q = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        let weight = q.map_or(Some(1.0), |q| q.parse::<f32>().ok())?;
        Some(Range { name, weight: weight.clamp(0.0, 1.0), position }).filter(|_| weight >= 0.0)
    };
    parts.filter_map(range).collect()
}

/// The rank of a media type in a header.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rank {
    weight: f32,
    position: usize,
}

impl Rank {
    pub(crate) fn is_better_than(&self, other: &Self) -> bool {
        self.weight > other.weight || self.weight == other.weight && self.position < other.position
    }
}

/// Returns the rank of a media type: that of the most specific range that matches; `None` if it is not acceptable.
pub(crate) fn weight(ranges: &[Range], name: &str) -> Option<Rank> {
    let main = name.split_once('/').map_or(name, |(main, _)| main);
    let specificity = |range: &Range| match range.name.split_once('/') {
        Some(("*", "*")) => Some(0),
        Some((type_, "*")) if type_ == main => Some(1),
        Some(_) if range.name == name => Some(2),
        _ => None,
    };
    let matching = ranges.iter().filter_map(|range| Some((specificity(range)?, range)));
    // The first of equally specific ranges.
    let (_, range) = matching.reduce(|best, next| if next.0 > best.0 { next } else { best })?;
    (range.weight > 0.0).then_some(Rank { weight: range.weight, position: range.position })
}
