//! Model metadata that guests see.

use std::sync::Arc;

use crate::id::ModelName;
use crate::tensor::{Dtype, Tensor};

/// An input or an output.
#[derive(Clone, Debug, PartialEq)]
pub struct PortInfo {
    /// Its name in the model.
    pub name: String,
    /// Element type.
    pub dtype: Dtype,
    /// Extent of each axis; -1 for a dynamic axis.
    pub shape: Vec<i64>,
}

/// A model as its engine serves it.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelInfo {
    /// Its name in the catalog.
    pub name: ModelName,
    /// Inputs.
    pub inputs: Vec<PortInfo>,
    /// Outputs, including appended reductions.
    pub outputs: Vec<PortInfo>,
    /// Characters or classes, in the order of the model's last axis; empty where the model has none.
    pub labels: Arc<[String]>,
    /// Widths that the engine is prepared for, ascending; empty: any.
    pub width_buckets: Vec<u32>,
    /// Largest number of rows in one run.
    pub max_batch: u32,
}

impl ModelInfo {
    /// Checks the arguments of a run: each input once, with its element type and a shape that fits, at most `max_batch` rows,
    /// and at least one output, none twice.
    ///
    /// # Errors
    ///
    /// A sentence about the first argument that does not fit.
    pub fn check_run(&self, inputs: &[(String, Tensor)], outputs: &[String]) -> Result<(), String> {
        let name = &self.name;
        for (given, tensor) in inputs {
            let Some(port) = self.inputs.iter().find(|port| port.name == *given) else {
                return Err(format!("{name} has no input `{given}`"));
            };
            if !port.takes(tensor) {
                return Err(format!(
                    "input `{given}` of {name} takes {:?}{:?}, not {:?}{:?}",
                    port.dtype,
                    port.shape,
                    tensor.dtype(),
                    tensor.shape()
                ));
            }
            if self.max_batch > 0 && tensor.rows() > self.max_batch as usize {
                return Err(format!(
                    "the input has {} rows, and {name} runs at most {} at once",
                    tensor.rows(),
                    self.max_batch
                ));
            }
        }
        if let Some(port) =
            self.inputs.iter().find(|port| !inputs.iter().any(|(given, _)| *given == port.name))
        {
            return Err(format!("input `{}` of {name} is missing", port.name));
        }
        if inputs.len() != self.inputs.len() {
            return Err(format!("an input of {name} is given twice"));
        }
        if outputs.is_empty() {
            return Err(format!("no output of {name} is requested"));
        }
        if let Some(asked) =
            outputs.iter().find(|asked| !self.outputs.iter().any(|port| port.name == **asked))
        {
            return Err(format!("{name} has no output `{asked}`"));
        }
        // The number comes first: it bounds the comparison.
        let asked_before =
            |(index, asked): (usize, &String)| outputs.iter().take(index).any(|one| one == asked);
        if outputs.len() > self.outputs.len() || outputs.iter().enumerate().any(asked_before) {
            return Err(format!("an output of {name} is requested twice"));
        }
        Ok(())
    }
}

impl PortInfo {
    /// Returns whether the tensor has the element type and a shape that fits.
    fn takes(&self, tensor: &Tensor) -> bool {
        let fits = |(want, is): (&i64, &usize)| *want < 0 || i64::try_from(*is) == Ok(*want);
        self.dtype == tensor.dtype()
            && self.shape.len() == tensor.shape().len()
            && self.shape.iter().zip(tensor.shape()).all(fits)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::tensor::TensorData;

    #[test]
    fn arguments_that_do_not_fit_are_named() {
        let port =
            |name: &str, dtype, shape: &[i64]| PortInfo { name: name.into(), dtype, shape: shape.to_vec() };
        let model = ModelInfo {
            name: "m".into(),
            inputs: vec![port("x", Dtype::F32, &[-1, 2]), port("n", Dtype::S64, &[1])],
            outputs: vec![port("y", Dtype::F32, &[-1, 2]), port("z", Dtype::S64, &[-1])],
            labels: [].into(),
            width_buckets: Vec::new(),
            max_batch: 2,
        };
        let x = |rows: usize| {
            ("x".to_owned(), Tensor::new(&[rows, 2], TensorData::F32(vec![0.0; rows * 2])).unwrap())
        };
        let n = || ("n".to_owned(), Tensor::new(&[1], TensorData::S64(vec![1])).unwrap());
        let flat = ("x".to_owned(), Tensor::new(&[2], TensorData::F32(vec![0.0; 2])).unwrap());
        let strange = ("w".to_owned(), n().1);
        let check = |inputs: &[(String, Tensor)], outputs: &[&str]| {
            let outputs: Vec<String> = outputs.iter().map(|name| (*name).to_owned()).collect();
            model.check_run(inputs, &outputs)
        };
        assert_eq!(check(&[x(2), n()], &["z", "y"]), Ok(()));
        assert_eq!(check(&[n(), x(1)], &["z"]), Ok(()));
        type Case<'a> = (&'a [(String, Tensor)], &'a [&'a str], &'a str);
        let cases: [Case<'_>; 9] = [
            (&[x(1)], &["y"], "input `n` of m is missing"),
            (&[x(1), n(), n()], &["y"], "given twice"),
            (&[x(1), x(1)], &["y"], "input `n` of m is missing"),
            (&[x(1), strange], &["y"], "no input `w`"),
            (&[flat, n()], &["y"], "takes F32[-1, 2], not F32[2]"),
            (&[x(3), n()], &["y"], "3 rows, and m runs at most 2"),
            (&[x(1), n()], &[], "no output"),
            (&[x(1), n()], &["q"], "no output `q`"),
            (&[x(1), n()], &["y", "y"], "requested twice"),
        ];
        for (inputs, outputs, part) in cases {
            let reason = check(inputs, outputs).unwrap_err();
            assert!(reason.contains(part), "{reason}");
        }
    }
}
