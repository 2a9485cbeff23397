//! Models on the host's engines. Independent of the meaning of their outputs.

use crate::host;
use crate::{Error, ModelInfo, Tensor};

/// A model that the deployment was granted, on one of the host's engines. Several runs of one model, and of several
/// models, can be awaited at once, which keeps the engine's queue filled.
pub struct Model(pub(crate) host::Model);

impl Model {
    /// Opens the model that the deployment granted under `alias`.
    ///
    /// # Errors
    ///
    /// `Denied` if the deployment was granted no model by that alias.
    pub fn open(alias: &str) -> Result<Self, Error> {
        host::model_open(alias).map(Self)
    }

    /// Describes its inputs, outputs and limits.
    pub fn describe(&self) -> ModelInfo {
        self.0.describe()
    }

    /// Returns the texts of labels, in the order of `indices`.
    ///
    /// # Errors
    ///
    /// `Invalid` if an index is not below the model's number of labels.
    pub fn labels(&self, indices: &[u32]) -> Result<Vec<String>, Error> {
        self.0.labels(indices)
    }

    /// Runs the model and returns the named outputs, in the order of `outputs`. The guest keeps the inputs.
    ///
    /// # Errors
    ///
    /// `Invalid` for a name, type or shape that the model does not have, `Busy` if the engine's queue is full,
    /// `Deadline` if the page's deadline has passed, `Failed` if the engine failed.
    pub async fn run(&self, inputs: &[(&str, &Tensor)], outputs: &[&str]) -> Result<Vec<Tensor>, Error> {
        let inputs = inputs.iter().map(|(name, tensor)| ((*name).to_owned(), &tensor.0)).collect();
        let wanted = outputs.iter().map(|&name| name.to_owned()).collect();
        let tensors = host::model_run(&self.0, inputs, wanted).await?;
        Ok(tensors.into_iter().map(Tensor).collect())
    }

    /// Runs a model with one input and returns exactly `N` of its outputs.
    ///
    /// # Errors
    ///
    /// As [`Model::run`]; also `Invalid` if the model has more than one input.
    pub async fn run_one<const N: usize>(
        &self,
        info: &ModelInfo,
        input: &Tensor,
        outputs: [&str; N],
    ) -> Result<[Tensor; N], Error> {
        let [port] = info.inputs.as_slice() else {
            return Err(Error::invalid(
                "model_input_count",
                format!(
                    "model `{}` has {} inputs; this guest supports models with one input",
                    info.name,
                    info.inputs.len()
                ),
            ));
        };
        let tensors = self.run(&[(port.name.as_str(), input)], &outputs).await?;
        tensors.try_into().map_err(|given: Vec<Tensor>| {
            let message =
                format!("model `{}` returned {} outputs, and {N} were requested", info.name, given.len());
            Error::failed("model_output_count", message)
        })
    }
}
