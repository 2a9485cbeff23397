//! ONNX Runtime sessions: how they are built, what they say of themselves, how they run.
//!
//! Called at start for every model, and then by the owner threads of its lane.

use lector_core::model::PortInfo;
use lector_core::{Dtype, Tensor, TensorData};
use ort::environment::Environment;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{OutputSelector, RunOptions, Session, SessionInputValue};
use ort::value::{DynValue, Outlet, TensorElementType, TensorRef};

use crate::engine::Engine;
use crate::provider::Provider;

/// How the sessions of a model are built.
pub(crate) struct Recipe<'a> {
    pub(crate) environment: &'a Environment,
    pub(crate) provider: Provider,
    /// Threads of one session's own pool, the caller's included; 1: no pool.
    pub(crate) threads: usize,
    /// Whether runs take memory from the arena of the process or from one of the session's own.
    pub(crate) shared_arena: bool,
}

impl Recipe<'_> {
    /// A session over a serialised model. The bytes are free again when it returns.
    pub(crate) fn build(&self, model: &[u8]) -> Result<Session, String> {
        self.builder().and_then(|mut builder| builder.commit_from_memory(model)).map_err(|e| e.to_string())
    }

    /// The options, and why. Figures: see [`crate::config`].
    fn builder(&self) -> ort::Result<SessionBuilder> {
        let forget = |e: ort::Error<SessionBuilder>| ort::Error::new(e.to_string());
        let mut builder = Session::builder(self.environment)?
            .with_optimization_level(GraphOptimizationLevel::All)
            .map_err(forget)?
            .with_intra_threads(self.threads)
            .map_err(forget)?
            // A thread that spins between operators burns a core that another lane could use.
            .with_intra_op_spinning(false)
            .map_err(forget)?
            // A pattern is planned and kept for every shape seen; line widths and page sizes vary without end.
            .with_memory_pattern(false)
            .map_err(forget)?
            .with_execution_providers([self.provider.dispatch()])
            .map_err(forget)?;
        if self.shared_arena {
            builder = builder.with_env_allocators().map_err(forget)?;
        }
        Ok(builder)
    }
}

/// Inputs and outputs of a session. An element type that Lector has no tensor for is an error.
pub(crate) fn ports(session: &Session) -> Result<(Vec<PortInfo>, Vec<PortInfo>), String> {
    let ports = |outlets: &[Outlet]| outlets.iter().map(port).collect::<Result<Vec<_>, _>>();
    Ok((ports(session.inputs())?, ports(session.outputs())?))
}

fn port(outlet: &Outlet) -> Result<PortInfo, String> {
    let name = outlet.name().to_owned();
    let (Some(ty), Some(shape)) = (outlet.dtype().tensor_type(), outlet.dtype().tensor_shape()) else {
        return Err(format!("`{name}` is no tensor"));
    };
    let dtype = match ty {
        TensorElementType::Float32 => Dtype::F32,
        TensorElementType::Int64 => Dtype::S64,
        TensorElementType::Uint8 => Dtype::U8,
        other => return Err(format!("`{name}` has elements of type {other}, supported are f32, s64 and u8")),
    };
    Ok(PortInfo { name, dtype, shape: shape.iter().map(|&extent| extent.max(-1)).collect() })
}

/// A session as an engine.
pub(crate) struct OrtEngine(pub(crate) Session);

impl Engine for OrtEngine {
    fn run(&mut self, inputs: &[(String, Tensor)], outputs: &[String]) -> Result<Vec<Tensor>, String> {
        run(&mut self.0, inputs, outputs).map_err(|e| e.to_string())
    }
}

fn run(session: &mut Session, inputs: &[(String, Tensor)], outputs: &[String]) -> ort::Result<Vec<Tensor>> {
    let inputs = inputs
        .iter()
        .map(|(name, tensor)| Ok((name.as_str(), borrowed(tensor)?)))
        .collect::<ort::Result<Vec<(&str, SessionInputValue<'_>)>>>()?;
    // Only what was asked for is computed and given: without it every run would copy out the logits.
    let selected = outputs.iter().fold(OutputSelector::no_default(), |s, name| s.with(name));
    let options = RunOptions::new()?.with_outputs(selected);
    let values = session.run_with_options(inputs, &options)?;
    outputs
        .iter()
        .map(|name| values.get(name).ok_or_else(|| ort::Error::new(format!("no output `{name}`"))))
        .map(|value| value.and_then(owned))
        .collect()
}

/// The tensor as ONNX Runtime sees it, without a copy.
fn borrowed(tensor: &Tensor) -> ort::Result<SessionInputValue<'_>> {
    let shape = tensor.shape();
    Ok(match tensor.data() {
        TensorData::F32(data) => TensorRef::from_array_view((shape, data.as_slice()))?.into(),
        TensorData::S64(data) => TensorRef::from_array_view((shape, data.as_slice()))?.into(),
        TensorData::U8(data) => TensorRef::from_array_view((shape, data.as_slice()))?.into(),
    })
}

/// A copy of an output in host memory; its buffer goes back to the arena.
fn owned(value: &DynValue) -> ort::Result<Tensor> {
    let (shape, data) = match value.dtype().tensor_type() {
        Some(TensorElementType::Float32) => {
            let (shape, data) = value.try_extract_tensor::<f32>()?;
            (shape, TensorData::F32(data.to_vec()))
        }
        Some(TensorElementType::Int64) => {
            let (shape, data) = value.try_extract_tensor::<i64>()?;
            (shape, TensorData::S64(data.to_vec()))
        }
        Some(TensorElementType::Uint8) => {
            let (shape, data) = value.try_extract_tensor::<u8>()?;
            (shape, TensorData::U8(data.to_vec()))
        }
        _ => return Err(ort::Error::new("an output of a type that was not declared")),
    };
    let extents = shape.iter().map(|&extent| usize::try_from(extent).unwrap_or(0)).collect::<Vec<_>>();
    Tensor::new(&extents, data).ok_or_else(|| ort::Error::new("an output whose data does not fill its shape"))
}
