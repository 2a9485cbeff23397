//! Checks of a description against its files, without an engine. Properties that the file does not declare show only in
//! a run.

use super::{CatalogError, ModelEntry, Reduce, Steps, Task};
use crate::onnx::{self, Port};

/// A checked part of a description, and the result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The part of the description.
    pub about: &'static str,
    /// The values found, or the error with the expected values.
    pub outcome: Result<String, String>,
}

impl ModelEntry {
    /// Checks digests, inputs, outputs and labels, in that order. Stops where an error makes later checks meaningless.
    pub fn validate(&self) -> Vec<Finding> {
        let finding = |about, outcome| Finding { about, outcome };
        let text = |error: CatalogError| error.to_string();
        let weights = match self.read_weights() {
            Ok(weights) => weights,
            Err(error) => return vec![finding("weights", Err(text(error)))],
        };
        let found = format!("{} bytes, sha256 {}", weights.len(), self.weights.sha256);
        if self.task == Task::Transcription {
            return vec![finding("weights", Ok(found))];
        }
        vec![
            finding("weights", Ok(found)),
            finding("input", self.input(&onnx::input_ports(&weights))),
            finding("output", self.output(&onnx::output_ports(&weights))),
            finding("labels", self.labels_fit(&weights)),
        ]
    }

    fn input(&self, ports: &[Port]) -> Result<String, String> {
        let [port] = ports else {
            return Err(format!("the model must have one input, a picture; the file has {}", Ports(ports)));
        };
        if port.element.is_some_and(|element| element != onnx::FLOAT) {
            return Err(format!("{port} has elements of another type than f32"));
        }
        let Some(shape) = &port.shape else { return Ok(format!("{port}: to be checked by a run")) };
        let &[rows, channels, height, width] = shape.as_slice() else {
            return Err(format!("{port} must have the axes rows, channels, height and width"));
        };
        let spec = &self.preprocess;
        axis("rows", rows, None, self.engine.max_batch > 1, "engine.max_batch above 1")?;
        axis("channels", channels, Some(3), false, "")?;
        let sides = self.engine.side.map(|steps| ("engine.side_max", steps));
        let widths = self.engine.width.map(|steps| ("engine.width_max", steps)).or(sides);
        extent("height", height, spec.height, sides)?;
        extent("width", width, spec.width, widths)?;
        Ok(port.to_string())
    }

    fn output(&self, ports: &[Port]) -> Result<String, String> {
        let Some(port) = ports.first() else { return Err("the file has no output".to_owned()) };
        if self.engine.reduce == Some(Reduce::Ctc) && ports.len() != 1 {
            return Err(format!("engine.reduce takes a file with one output, and it has {}", Ports(ports)));
        }
        let Some(shape) = &port.shape else { return Ok(format!("{port}: to be checked by a run")) };
        let axes = match self.task {
            Task::Detection => &["rows", "one map", "height", "width"][..],
            Task::Recognition => &["rows", "steps", "classes"],
            Task::Classification | Task::Transcription => &["rows", "classes"],
        };
        if shape.len() != axes.len() {
            return Err(format!("{port} must have the axes {}", axes.join(", ")));
        }
        if self.task == Task::Detection && shape.get(1).copied().flatten().is_some_and(|maps| maps != 1) {
            return Err(format!("{port} must have one map, the probability of text"));
        }
        Ok(port.to_string())
    }

    /// Reads the labels, and compares their number with the classes where the file declares these.
    fn labels_fit(&self, weights: &[u8]) -> Result<String, String> {
        let labels = self.read_labels(weights).map_err(|error| error.to_string())?;
        if labels.is_empty() {
            return if self.task == Task::Recognition {
                Err("a recognizer needs [labels], one for each class".to_owned())
            } else {
                Ok("none".to_owned())
            };
        }
        let ports = onnx::output_ports(weights);
        let classes = ports.first().and_then(|port| port.shape.as_ref()?.last().copied().flatten());
        match classes {
            Some(classes) if u64::try_from(labels.len()) != Ok(classes) => {
                Err(format!("{} labels for {classes} classes", labels.len()))
            }
            Some(_) => Ok(format!("{} of them, one for each class", labels.len())),
            None => Ok(format!("{} of them; the file declares no number of classes", labels.len())),
        }
    }
}

/// Checks the extent of an axis: a fixed one against `must`, and a variable one where the description needs it.
fn axis(name: &str, found: Option<u64>, must: Option<u64>, free: bool, because: &str) -> Result<(), String> {
    match (found, must) {
        (Some(found), Some(must)) if found != must => Err(format!("{name} is {found}, must be {must}")),
        (Some(found), None) if free => {
            Err(format!("{name} is fixed at {found}, and the description has {because}"))
        }
        _ => Ok(()),
    }
}

/// Checks an extent that the description fixes, or gives steps.
fn extent(
    name: &str,
    found: Option<u64>,
    pinned: Option<u32>,
    steps: Option<(&str, Steps)>,
) -> Result<(), String> {
    let (key, free) = steps.map_or(("", false), |(key, steps)| (key, steps.max > steps.step));
    axis(name, found, pinned.map(u64::from), free, key)?;
    match (pinned, steps, found) {
        (None, None, None) => Err(format!(
            "{name} is variable: fix it by preprocess.{name}, or set engine.width_step or engine.side_step"
        )),
        _ => Ok(()),
    }
}

impl std::fmt::Display for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some(shape) = &self.shape else { return write!(f, "`{}` of no declared shape", self.name) };
        let extent = |extent: &Option<u64>| extent.map_or_else(|| "any".to_owned(), |n| n.to_string());
        let extents: Vec<String> = shape.iter().map(extent).collect();
        write!(f, "`{}` [{}]", self.name, extents.join(", "))
    }
}

/// Ports in a message.
struct Ports<'a>(&'a [Port]);

impl std::fmt::Display for Ports<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let all: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&if all.is_empty() { "none".to_owned() } else { all.join(" and ") })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::super::tests::{described, detector};
    use super::*;

    fn port(shape: &[i64]) -> Vec<Port> {
        let shape = shape.iter().map(|&extent| u64::try_from(extent).ok()).collect();
        vec![Port { name: "x".to_owned(), element: Some(onnx::FLOAT), shape: Some(shape) }]
    }

    #[test]
    fn inputs_are_compared_with_the_description() {
        let (reader, detector) = (described(), detector());
        let check = |entry: &ModelEntry, shape: &[i64], expect: Result<&str, &str>| {
            let found = entry.input(&port(shape));
            match (&found, expect) {
                (Ok(text), Ok(part)) | (Err(text), Err(part)) if text.contains(part) => {}
                _ => panic!("{shape:?}: {found:?}, and not {expect:?}"),
            }
        };
        check(&reader, &[-1, 3, 48, -1], Ok("[any, 3, 48, any]"));
        check(&reader, &[-1, 3, -1, -1], Ok(""));
        check(&reader, &[-1, 3, 32, -1], Err("height is 32, must be 48"));
        check(&reader, &[1, 3, 48, -1], Err("engine.max_batch"));
        check(&reader, &[-1, 1, 48, -1], Err("channels is 1"));
        check(&reader, &[-1, 3, 48, 320], Err("engine.width_max"));
        check(&reader, &[-1, 48, -1], Err("axes"));
        check(&detector, &[-1, 3, -1, -1], Ok(""));
        check(&detector, &[-1, 3, 640, 640], Err("engine.side_max"));
        assert!(reader.input(&[]).unwrap_err().contains("has none"));
        assert!(
            reader.input(&[port(&[1]), port(&[2])].concat()).unwrap_err().contains("`x` [1] and `x` [2]")
        );
    }

    #[test]
    fn outputs_are_compared_with_the_task() {
        let (reader, detector) = (described(), detector());
        assert!(reader.output(&port(&[-1, -1, 4])).is_ok());
        assert!(reader.output(&port(&[-1, 4])).unwrap_err().contains("rows, steps, classes"));
        assert!(
            reader.output(&[port(&[-1, -1, 4]), port(&[1])].concat()).unwrap_err().contains("one output")
        );
        assert!(detector.output(&port(&[-1, 1, -1, -1])).is_ok());
        assert!(detector.output(&port(&[-1, 2, -1, -1])).unwrap_err().contains("one map"));
    }
}
