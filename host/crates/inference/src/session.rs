//! ONNX Runtime sessions: how they are built, their ports, their runs.
//!
//! Built by the engine builder, run by the owner threads of lanes.

use std::path::{Path, PathBuf};

use lector_core::model::PortInfo;
use lector_core::{Dtype, Tensor, TensorData};
use ort::environment::Environment;
use ort::ep::{self, ExecutionProviderDispatch};
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{OutputSelector, RunOptions, Session, SessionInputValue};
use ort::value::{DynValue, Outlet, TensorElementType, TensorRef};

use crate::engine::Engine;
use crate::profile::Profile;
use crate::provider::{EngineVariant, Precision, Provider};

/// Optimization level of TensorRT's builder, its own default: a lower one gives slow engines, a higher one takes many
/// times as long.
pub(crate) const TRT_LEVEL: u8 = 3;

/// The source of a session.
pub(crate) enum Graph<'a> {
    /// A serialized model.
    Model(&'a [u8]),
    /// A file that [`Recipe::dump`] wrote for ONNX Runtime's own kernels, already optimized.
    Optimized(&'a Path),
    /// A file that [`Recipe::dump`] wrote for TensorRT.
    File(&'a Path),
}

/// How the sessions of a model are built.
pub(crate) struct Recipe<'a> {
    pub(crate) environment: &'a Environment,
    pub(crate) variant: EngineVariant,
    /// Threads of the pool of one session, including the caller; 1: no pool.
    pub(crate) threads: usize,
    /// Whether runs use the arena of the process. Otherwise each session has its own.
    pub(crate) shared_arena: bool,
    /// Most device memory of the arena of one session; 0: no limit.
    pub(crate) gpu_memory_bytes_max: u64,
    /// Shapes to build a TensorRT engine for, and the name of the input that has them.
    pub(crate) tensorrt: Option<(Profile, String)>,
    /// Path to which the built graph is written.
    pub(crate) dump: Option<PathBuf>,
    /// Folder of TensorRT's timing cache.
    pub(crate) timing: Option<PathBuf>,
}

impl Recipe<'_> {
    /// Builds a session. The bytes of a serialized model may be freed when it returns.
    pub(crate) fn build(&self, graph: &Graph<'_>) -> Result<Session, String> {
        let level = match graph {
            Graph::Optimized(_) => GraphOptimizationLevel::Disable,
            Graph::Model(_) | Graph::File(_) => GraphOptimizationLevel::All,
        };
        let session = self.builder(level).and_then(|mut builder| match graph {
            Graph::Model(model) => builder.commit_from_memory(model),
            Graph::Optimized(path) | Graph::File(path) => builder.commit_from_file(path),
        });
        session.map_err(|e| e.to_string())
    }

    /// Returns the session options. Figures: see [`crate::config`].
    fn builder(&self, level: GraphOptimizationLevel) -> ort::Result<SessionBuilder> {
        let forget = |e: ort::Error<SessionBuilder>| ort::Error::new(e.to_string());
        let mut builder = Session::builder(self.environment)?
            .with_optimization_level(level)
            .map_err(forget)?
            .with_intra_threads(self.threads)
            .map_err(forget)?
            // A thread that spins between operators occupies a core that another lane could use.
            .with_intra_op_spinning(false)
            .map_err(forget)?
            // A pattern is planned and kept for every shape; line widths and page sizes vary without bound.
            .with_memory_pattern(false)
            .map_err(forget)?
            .with_execution_providers([self.dispatch()?])
            .map_err(forget)?;
        if self.shared_arena {
            builder = builder.with_env_allocators().map_err(forget)?;
        }
        // TensorRT writes its own file.
        if let (Provider::Cpu, Some(path)) = (self.variant.provider, &self.dump) {
            builder = builder.with_optimized_model_path(path).map_err(forget)?;
        }
        Ok(builder)
    }

    /// Returns the provider with its options, set so that a failure to load it is an error.
    fn dispatch(&self) -> ort::Result<ExecutionProviderDispatch> {
        let id = |device: u32| i32::try_from(device).unwrap_or(i32::MAX);
        let dispatch = match self.variant.provider {
            Provider::Cpu => ep::CPU::default().with_arena_allocator(true).build(),
            Provider::Cuda { device } => {
                let cuda = ep::CUDA::default().with_device_id(id(device)).with_tf32(false);
                match usize::try_from(self.gpu_memory_bytes_max) {
                    Ok(limit @ 1..) => cuda.with_memory_limit(limit).build(),
                    _ => cuda.build(),
                }
            }
            Provider::TensorRt { device } => self.tensorrt(id(device)),
            Provider::OpenVino | Provider::Tesseract => {
                let provider = self.variant.provider;
                return Err(ort::Error::new(format!("engines of {provider} are not made by ONNX Runtime")));
            }
        };
        Ok(dispatch.error_on_failure())
    }

    /// Returns the TensorRT provider. A build makes its engines, with explicit profiles and into one file, and never a
    /// request: the file names of the provider's own cache ignore the weights, so that cache is off.
    fn tensorrt(&self, device: i32) -> ExecutionProviderDispatch {
        let precision = self.variant.precision;
        let mut tensorrt = ep::TensorRT::default()
            .with_device_id(device)
            .with_fp16(precision == Precision::F16)
            .with_bf16(precision == Precision::Bf16)
            .with_engine_cache(false)
            .with_builder_optimization_level(TRT_LEVEL)
            .with_context_memory_sharing(true);
        if let Ok(limit @ 1..) = usize::try_from(self.gpu_memory_bytes_max) {
            tensorrt = tensorrt.with_max_workspace_size(limit);
        }
        if let Some((profile, input)) = &self.tensorrt {
            tensorrt = tensorrt
                .with_profile_min_shapes(Profile::text(input, profile.min))
                .with_profile_opt_shapes(Profile::text(input, profile.opt))
                .with_profile_max_shapes(Profile::text(input, profile.max));
        }
        if let Some(path) = &self.dump {
            tensorrt = tensorrt
                .with_dump_ep_context_model(true)
                .with_ep_context_file_path(path.display())
                // Embedded in the file: a path beside it would be resolved against another folder after the rename.
                .with_ep_context_embed_mode(1);
        }
        if let Some(folder) = &self.timing {
            tensorrt = tensorrt.with_timing_cache(true).with_timing_cache_path(folder.display());
        }
        tensorrt.build()
    }
}

/// Returns the inputs and outputs of a session. An element type without a Lector tensor is an error.
pub(crate) fn ports(session: &Session) -> Result<(Vec<PortInfo>, Vec<PortInfo>), String> {
    let ports = |outlets: &[Outlet]| outlets.iter().map(port).collect::<Result<Vec<_>, _>>();
    Ok((ports(session.inputs())?, ports(session.outputs())?))
}

fn port(outlet: &Outlet) -> Result<PortInfo, String> {
    let name = outlet.name().to_owned();
    let (Some(ty), Some(shape)) = (outlet.dtype().tensor_type(), outlet.dtype().tensor_shape()) else {
        return Err(format!("`{name}` is not a tensor"));
    };
    let dtype = match ty {
        TensorElementType::Bool => Dtype::Bool,
        TensorElementType::Uint8 => Dtype::U8,
        TensorElementType::Int8 => Dtype::S8,
        TensorElementType::Uint16 => Dtype::U16,
        TensorElementType::Int16 => Dtype::S16,
        TensorElementType::Uint32 => Dtype::U32,
        TensorElementType::Int32 => Dtype::S32,
        TensorElementType::Uint64 => Dtype::U64,
        TensorElementType::Int64 => Dtype::S64,
        TensorElementType::Float16 => Dtype::F16,
        TensorElementType::Bfloat16 => Dtype::Bf16,
        TensorElementType::Float32 => Dtype::F32,
        TensorElementType::Float64 => Dtype::F64,
        other => {
            return Err(format!(
                "`{name}` has elements of type {other}, which the guest contract does not have"
            ));
        }
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
    // Only the requested outputs are computed and copied: otherwise every run would copy out the logits.
    let selected = outputs.iter().fold(OutputSelector::no_default(), |s, name| s.with(name));
    let options = RunOptions::new()?.with_outputs(selected);
    let values = session.run_with_options(inputs, &options)?;
    outputs
        .iter()
        .map(|name| values.get(name).ok_or_else(|| ort::Error::new(format!("no output `{name}`"))))
        .map(|value| value.and_then(owned))
        .collect()
}

/// Returns a view of the tensor for ONNX Runtime, without a copy.
fn borrowed(tensor: &Tensor) -> ort::Result<SessionInputValue<'_>> {
    let shape = tensor.shape();
    /// One arm for each element type whose vector ONNX Runtime accepts unchanged.
    macro_rules! views {
        ($($kind:ident)*) => {
            match tensor.data() {
                $(TensorData::$kind(data) => TensorRef::from_array_view((shape, data.as_slice()))?.into(),)*
                // The view needs `bool`s, which are made here: masks are small.
                TensorData::Bool(data) => {
                    let data: Vec<bool> = data.iter().map(|byte| *byte != 0).collect();
                    ort::value::Tensor::from_array((shape, data))?.into()
                }
            }
        };
    }
    Ok(views!(U8 S8 U16 S16 U32 S32 U64 S64 F16 Bf16 F32 F64))
}

/// Copies an output into host memory; its buffer returns to the arena.
fn owned(value: &DynValue) -> ort::Result<Tensor> {
    /// One arm for each element type: ONNX Runtime's, the host's, and the element in Rust.
    macro_rules! copies {
        ($($theirs:ident $ours:ident $element:ty;)*) => {
            match value.dtype().tensor_type() {
                $(Some(TensorElementType::$theirs) => {
                    let (shape, data) = value.try_extract_tensor::<$element>()?;
                    (shape, TensorData::$ours(data.to_vec()))
                })*
                Some(TensorElementType::Bool) => {
                    let (shape, data) = value.try_extract_tensor::<bool>()?;
                    (shape, TensorData::Bool(data.iter().map(|flag| u8::from(*flag)).collect()))
                }
                _ => return Err(ort::Error::new("an output of a type that was not declared")),
            }
        };
    }
    let (shape, data) = copies! {
        Uint8 U8 u8;
        Int8 S8 i8;
        Uint16 U16 u16;
        Int16 S16 i16;
        Uint32 U32 u32;
        Int32 S32 i32;
        Uint64 U64 u64;
        Int64 S64 i64;
        Float16 F16 half::f16;
        Bfloat16 Bf16 half::bf16;
        Float32 F32 f32;
        Float64 F64 f64;
    };
    let extents = shape.iter().map(|&extent| usize::try_from(extent).unwrap_or(0)).collect::<Vec<_>>();
    Tensor::new(&extents, data).ok_or_else(|| ort::Error::new("an output whose data does not fill its shape"))
}
