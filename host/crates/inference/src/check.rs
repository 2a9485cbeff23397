//! Checks tensors against a model before they are queued, so that no engine gets a shape outside its buckets and no
//! guest can make ONNX Runtime fail.
//!
//! Pure. Called by a lane for each item. Every rejection blames the guest and names the accepted values.

use std::fmt;

use lector_core::{Blame, Fault, Kind, ModelInfo, Tensor, TensorData};

use crate::catalog::Steps;

/// Bounds that are not in `ModelInfo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Steps of the width, the last axis of a four-dimensional input.
    pub(crate) width: Option<Steps>,
    /// Steps of height and width.
    pub(crate) side: Option<Steps>,
    /// Most pixels (rows times height times width) of one run, which bound the memory of a run.
    pub(crate) run_pixels_max: u64,
}

/// Extent of a probe along a variable axis without steps.
const FREE_EXTENT: usize = 32;

/// Accepts inputs and outputs that fit the model.
pub(crate) fn check(
    model: &ModelInfo,
    limits: &Limits,
    inputs: &[(String, Tensor)],
    outputs: &[String],
) -> Result<(), Fault> {
    let refuse = |what: String| {
        Fault::new(Kind::Invalid, "model_input_invalid", format!("model {}: {what}", model.name))
            .blaming(Blame::Guest)
    };
    for port in &model.inputs {
        let mut given = inputs.iter().filter(|(name, _)| *name == port.name);
        let (Some((_, tensor)), None) = (given.next(), given.next()) else {
            return Err(refuse(format!("input `{}` must be given once", port.name)));
        };
        if tensor.dtype() != port.dtype {
            let (is, must) = (tensor.dtype().name(), port.dtype.name());
            return Err(refuse(format!("input `{}` is {is}, must be {must}", port.name)));
        }
        shape(&port.shape, tensor.shape(), model.max_batch, limits)
            .map_err(|what| refuse(format!("input `{}` is {:?}, {what}", port.name, tensor.shape())))?;
    }
    // The lane takes the rows of the first input for those of the item; the others must agree.
    let mut batched = model.inputs.iter().filter(|port| port.shape.first() == Some(&-1)).filter_map(|port| {
        let (name, tensor) = inputs.iter().find(|(name, _)| *name == port.name)?;
        Some((name, tensor.rows()))
    });
    if let Some((first, rows)) = batched.next()
        && let Some((other, others)) = batched.find(|(_, others)| *others != rows)
    {
        return Err(refuse(format!(
            "input `{other}` has {others} rows, but input `{first}` has {rows}: all must agree"
        )));
    }
    if let Some((name, _)) = inputs.iter().find(|(name, _)| model.inputs.iter().all(|p| p.name != *name)) {
        return Err(refuse(format!("no input `{name}`; it has {}", Names(&model.inputs))));
    }
    for (at, name) in outputs.iter().enumerate() {
        let known = model.outputs.iter().any(|p| p.name == *name);
        if !known || outputs.iter().take(at).any(|earlier| earlier == name) {
            let (code, has) = ("model_output_invalid", Names(&model.outputs));
            let message =
                format!("model {}: output `{name}` is unknown or asked for twice; it has {has}", model.name);
            return Err(Fault::new(Kind::Invalid, code, message).blaming(Blame::Guest));
        }
    }
    if outputs.is_empty() {
        let message = format!("model {}: no output asked for; it has {}", model.name, Names(&model.outputs));
        return Err(Fault::new(Kind::Invalid, "model_output_invalid", message).blaming(Blame::Guest));
    }
    Ok(())
}

/// Returns the smallest inputs that the model takes, all zeros, in `rows` rows where it takes more than one: the input
/// of a probe.
pub(crate) fn smallest(model: &ModelInfo, limits: &Limits, rows: usize) -> Option<Vec<(String, Tensor)>> {
    let step = limits.width.or(limits.side).map_or(FREE_EXTENT, |steps| steps.step as usize);
    model
        .inputs
        .iter()
        .map(|port| {
            let extents: Vec<usize> = port
                .shape
                .iter()
                .enumerate()
                .map(|(axis, &extent)| match usize::try_from(extent) {
                    Ok(fixed) => fixed,
                    Err(_) if axis == 0 => rows,
                    Err(_) => step,
                })
                .collect();
            let elements = extents.iter().product();
            let data = TensorData::zeros(port.dtype, elements);
            Some((port.name.clone(), Tensor::new(&extents, data)?))
        })
        .collect()
}

fn shape(expected: &[i64], given: &[usize], max_batch: u32, limits: &Limits) -> Result<(), String> {
    let fits = |(&want, &have): (&i64, &usize)| have > 0 && (want < 0 || usize::try_from(want) == Ok(have));
    if expected.len() != given.len() || !expected.iter().zip(given).all(fits) {
        return Err(format!("must be {expected:?} (-1: any extent from 1)"));
    }
    if expected.first() == Some(&-1) && given.first().is_some_and(|&rows| rows > max_batch as usize) {
        return Err(format!("at most {max_batch} rows go into one run"));
    }
    let &[rows, _, height, width] = given else { return Ok(()) };
    if let Some(steps) = limits.width {
        multiple("width", width, steps)?;
    }
    if let Some(steps) = limits.side {
        multiple("height", height, steps)?;
        multiple("width", width, steps)?;
    }
    let pixels = [height, width].iter().try_fold(rows as u64, |n, &extent| n.checked_mul(extent as u64));
    match pixels {
        Some(pixels) if pixels <= limits.run_pixels_max => Ok(()),
        _ => Err(format!("more than {} pixels in one run", limits.run_pixels_max)),
    }
}

fn multiple(what: &str, extent: usize, steps: Steps) -> Result<(), String> {
    let Steps { step, max } = steps;
    if extent.is_multiple_of(step as usize) && extent <= max as usize {
        return Ok(());
    }
    Err(format!("{what} must be a multiple of {step}, at most {max}"))
}

/// Names of ports for a message.
struct Names<'a>(&'a [lector_core::model::PortInfo]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().enumerate().try_for_each(|(i, port)| {
            f.write_str(if i == 0 { "" } else { ", " })?;
            write!(f, "`{}`", port.name)
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use lector_core::model::PortInfo;

    use lector_core::Dtype;

    use super::*;

    fn model() -> ModelInfo {
        let port = |name: &str, shape: &[i64]| PortInfo {
            name: name.to_owned(),
            dtype: Dtype::F32,
            shape: shape.to_vec(),
        };
        ModelInfo {
            name: "m".into(),
            inputs: vec![port("x", &[-1, 3, 48, -1])],
            outputs: vec![port("y", &[-1, -1])],
            labels: [].into(),
            width_buckets: vec![],
            max_batch: 4,
        }
    }

    fn checked(inputs: &[(&str, Tensor)], outputs: &[&str]) -> Result<(), String> {
        let limits =
            Limits { width: Some(Steps { step: 32, max: 320 }), side: None, run_pixels_max: 2 * 48 * 320 };
        let inputs: Vec<_> = inputs.iter().map(|(n, t)| ((*n).to_owned(), t.clone())).collect();
        let outputs: Vec<_> = outputs.iter().map(|o| (*o).to_owned()).collect();
        check(&model(), &limits, &inputs, &outputs).map_err(|fault| {
            assert_eq!((fault.kind, fault.blame), (Kind::Invalid, Blame::Guest));
            fault.message
        })
    }

    fn zeros(shape: &[usize]) -> Tensor {
        Tensor::new(shape, TensorData::F32(vec![0.0; shape.iter().product()])).unwrap()
    }

    #[test]
    fn fitting_tensors_are_accepted() {
        checked(&[("x", zeros(&[1, 3, 48, 32]))], &["y"]).unwrap();
        checked(&[("x", zeros(&[2, 3, 48, 320]))], &["y"]).unwrap();
        checked(&[("x", zeros(&[4, 3, 48, 160]))], &["y"]).unwrap();
    }

    #[test]
    fn the_smallest_input_is_accepted() {
        let limits =
            Limits { width: Some(Steps { step: 64, max: 640 }), side: None, run_pixels_max: 48 * 64 };
        let inputs = smallest(&model(), &limits, 1).unwrap();
        assert_eq!(inputs[0].1.shape(), [1, 3, 48, 64]);
        check(&model(), &limits, &inputs, &["y".to_owned()]).unwrap();
    }

    #[test]
    fn inputs_of_different_rows_are_rejected() {
        let mut model = model();
        let port = |name: &str| PortInfo { name: name.to_owned(), dtype: Dtype::F32, shape: vec![-1, 2] };
        model.inputs = vec![port("x"), port("scale")];
        let limits = Limits { width: None, side: None, run_pixels_max: u64::MAX };
        let with = |rows: [usize; 2]| {
            let names = ["x", "scale"].into_iter().zip(rows);
            let inputs: Vec<_> = names.map(|(name, rows)| (name.to_owned(), zeros(&[rows, 2]))).collect();
            super::check(&model, &limits, &inputs, &["y".to_owned()]).map_err(|fault| fault.message)
        };
        with([3, 3]).unwrap();
        let message = with([3, 1]).unwrap_err();
        assert!(message.contains("`scale` has 1 rows") && message.contains("`x` has 3"), "{message}");
    }

    #[test]
    fn mismatches_are_rejected_by_name() {
        let check = |inputs: &[(&str, Tensor)], outputs: &[&str], expect: &str| {
            let message = checked(inputs, outputs).unwrap_err();
            assert!(message.contains(expect), "{message:?} lacks {expect:?}");
        };
        let good = || zeros(&[1, 3, 48, 32]);
        check(&[], &["y"], "`x` must be given once");
        check(&[("x", good()), ("x", good())], &["y"], "`x` must be given once");
        check(&[("x", good()), ("z", good())], &["y"], "no input `z`; it has `x`");
        let bytes = Tensor::new(&[1, 3, 48, 32], TensorData::U8(vec![0; 3 * 48 * 32])).unwrap();
        check(&[("x", bytes)], &["y"], "is u8, must be f32");
        check(&[("x", zeros(&[3, 48, 32]))], &["y"], "must be [-1, 3, 48, -1]");
        check(&[("x", zeros(&[1, 3, 32, 32]))], &["y"], "must be [-1, 3, 48, -1]");
        check(&[("x", zeros(&[0, 3, 48, 32]))], &["y"], "any extent from 1");
        check(&[("x", zeros(&[5, 3, 48, 32]))], &["y"], "at most 4 rows");
        check(&[("x", zeros(&[1, 3, 48, 33]))], &["y"], "a multiple of 32");
        check(&[("x", zeros(&[1, 3, 48, 352]))], &["y"], "at most 320");
        check(&[("x", zeros(&[3, 3, 48, 320]))], &["y"], "pixels in one run");
        check(&[("x", good())], &["logits"], "it has `y`");
        check(&[("x", good())], &["y", "y"], "asked for twice");
        check(&[("x", good())], &[], "no output asked for");
    }
}
