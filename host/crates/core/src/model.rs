//! Model metadata that guests see.

use std::sync::Arc;

use crate::id::ModelName;
use crate::tensor::Dtype;

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
