//! The interface package `lector:inference`: tensors, and the models granted to a deployment.

use std::time::{Duration, Instant};

use lector_core::batching::BatchingHints;
use lector_core::port::{Scheduling, WorkItem};
use lector_core::{Blame, Dtype, Fault, Kind, ModelInfo, Tensor, TensorData};
use lector_pixels as pixels;
use wasmtime::component::{Accessor, Resource};

use super::{Answer, Job, keep_tensor, operate, tell};
use crate::abort::AbortReason;
use crate::bindings::lector::inference::{models, tensors};
use crate::bindings::lector::types::errors;
use crate::call_state::RunRequest;
use crate::convert;
use crate::handles::{ModelHandle, TensorHandle};
use crate::resource_accounting::Reservation;
use crate::view::{InferenceCtx, View};

/// Maximum axes of a tensor.
const RANK_MAX: usize = 16;
/// Maximum labels in one answer.
const LABELS_MAX: usize = 1 << 20;

fn invalid(code: &'static str, message: String) -> Fault {
    Fault::new(Kind::Invalid, code, message).blaming(Blame::Guest)
}

impl tensors::Host for View<'_, InferenceCtx> {}

impl models::Host for View<'_, InferenceCtx> {}

impl tensors::HostTensor for View<'_, InferenceCtx> {
    fn from_bytes(
        &mut self,
        dtype: tensors::Dtype,
        shape: Vec<i64>,
        data: Vec<u8>,
    ) -> Answer<Resource<TensorHandle>> {
        self.enter()?;
        let charge = match self.charge(data.len() as u64) {
            Ok(charge) => charge,
            Err(fault) => return Ok(Err(self.tell(fault))),
        };
        let dtype = convert::dtype(dtype);
        match self.host_work(|_| tensor_from(dtype, &shape, data)) {
            Ok(tensor) => Ok(Ok(self.keep(TensorHandle { tensor, content: 1.0, charge })?)),
            Err(fault) => Ok(Err(self.tell(fault))),
        }
    }

    fn dtype(&mut self, tensor: Resource<TensorHandle>) -> wasmtime::Result<tensors::Dtype> {
        self.enter()?;
        Ok(convert::dtype_out(self.table.get(&tensor)?.tensor.dtype()))
    }

    fn shape(&mut self, tensor: Resource<TensorHandle>) -> wasmtime::Result<Vec<i64>> {
        self.enter()?;
        let tensor = &self.table.get(&tensor)?.tensor;
        // An extent is bounded by the bytes in memory.
        Ok(tensor.shape().iter().map(|extent| i64::try_from(*extent).unwrap_or(i64::MAX)).collect())
    }

    fn read(&mut self, tensor: Resource<TensorHandle>, offset: u64, length: u32) -> Answer<Vec<u8>> {
        self.enter()?;
        let tensor = self.table.get(&tensor)?.tensor.clone();
        let end = offset.saturating_add(length.into());
        if end > tensor.bytes() {
            let fault = invalid(
                "tensor_read_out_of_range",
                format!("bytes {offset}..{end} exceed the {} bytes of the tensor", tensor.bytes()),
            );
            return Ok(Err(self.tell(fault)));
        }
        Ok(Ok(self.host_work(|_| tensor.data().le_bytes(offset as usize, length as usize))))
    }

    fn drop(&mut self, tensor: Resource<TensorHandle>) -> wasmtime::Result<()> {
        drop(self.table.delete(tensor)?.charge);
        Ok(())
    }
}

fn tensor_from(dtype: Dtype, shape: &[i64], data: Vec<u8>) -> Result<Tensor, Fault> {
    let bytes = data.len();
    let wrong = || {
        let message = format!(
            "{bytes} bytes are not a tensor {}{shape:?}: the shape has at most {RANK_MAX} extents of 0 or more, whose \
             product times {} is the number of bytes, and a bool is 0 or 1",
            dtype.name(),
            dtype.bytes()
        );
        invalid("tensor_shape_invalid", message)
    };
    if shape.len() > RANK_MAX {
        return Err(wrong());
    }
    let extents: Result<Vec<usize>, _> = shape.iter().map(|extent| usize::try_from(*extent)).collect();
    let extents = extents.map_err(|_| wrong())?;
    let elements = TensorData::from_le_bytes(dtype, data).ok_or_else(wrong)?;
    Tensor::new(&extents, elements).ok_or_else(wrong)
}

impl<T: Send + 'static> tensors::HostTensorWithStore<T> for InferenceCtx {
    async fn quantize(
        store: &Accessor<T, Self>,
        source: Resource<TensorHandle>,
        scale: f32,
    ) -> Answer<Resource<TensorHandle>> {
        operate(
            store,
            |state| {
                let tensor = state.table.get(&source)?.tensor.clone();
                let made = tensor.elements() as u64;
                Ok(state.charge(made).map(|charge| Job {
                    charges: vec![charge],
                    bytes: tensor.bytes() + made,
                    work: Box::new(move || pixels::quantize(&tensor, scale)),
                }))
            },
            |state, tensor, mut charges| match charges.pop() {
                Some(charge) => keep_tensor(state, tensor, 1.0, charge),
                None => Err(AbortReason::Defect("an operation without a reservation".into()).into()),
            },
        )
        .await
    }

    async fn argmax(
        store: &Accessor<T, Self>,
        source: Resource<TensorHandle>,
    ) -> Answer<(Resource<TensorHandle>, Resource<TensorHandle>)> {
        operate(
            store,
            |state| {
                let tensor = state.table.get(&source)?.tensor.clone();
                let last = tensor.shape().last().copied().unwrap_or(1).max(1);
                let rows = (tensor.elements() / last) as u64;
                let charges =
                    state.charge(rows * 8).and_then(|first| Ok(vec![first, state.charge(rows * 4)?]));
                Ok(charges.map(|charges| Job {
                    charges,
                    bytes: tensor.bytes(),
                    work: Box::new(move || pixels::argmax(&tensor)),
                }))
            },
            |state, (indices, values), mut charges| match (charges.pop(), charges.pop()) {
                (Some(second), Some(first)) => {
                    Ok((keep_tensor(state, indices, 1.0, first)?, keep_tensor(state, values, 1.0, second)?))
                }
                _ => Err(AbortReason::Defect("an operation without its reservations".into()).into()),
            },
        )
        .await
    }
}

impl models::HostModel for View<'_, InferenceCtx> {
    fn open(&mut self, alias: String) -> Answer<Resource<ModelHandle>> {
        self.enter()?;
        let opened = self.granted(&alias).and_then(|info| self.with_preferred_widths(&alias, info));
        match opened.and_then(|(info, hints)| Ok((info, hints, self.charge(0)?))) {
            Ok((info, hints, charge)) => Ok(Ok(self.keep(ModelHandle { info, hints, charge })?)),
            Err(fault) => Ok(Err(self.tell(fault))),
        }
    }

    fn describe(&mut self, model: Resource<ModelHandle>) -> wasmtime::Result<models::ModelInfo> {
        self.enter()?;
        Ok(convert::model_info(&self.table.get(&model)?.info))
    }

    fn labels(&mut self, model: Resource<ModelHandle>, indices: Vec<u32>) -> Answer<Vec<String>> {
        self.enter()?;
        let info = self.table.get(&model)?.info.clone();
        match self.host_work(|_| labels(&info, &indices)) {
            Ok(labels) => Ok(Ok(labels)),
            Err(fault) => Ok(Err(self.tell(fault))),
        }
    }

    fn drop(&mut self, model: Resource<ModelHandle>) -> wasmtime::Result<()> {
        drop(self.table.delete(model)?.charge);
        Ok(())
    }
}

fn labels(info: &ModelInfo, indices: &[u32]) -> Result<Vec<String>, Fault> {
    if indices.len() > LABELS_MAX {
        let message =
            format!("one answer has at most {LABELS_MAX} labels, and {} were requested", indices.len());
        return Err(Fault::new(Kind::TooLarge, "model_labels_too_many", message).blaming(Blame::Guest));
    }
    let label = |index: &u32| {
        info.labels.get(*index as usize).cloned().ok_or_else(|| {
            let message = format!("{} has {} labels, none with index {index}", info.name, info.labels.len());
            invalid("model_label_unknown", message)
        })
    };
    indices.iter().map(label).collect()
}

impl View<'_, InferenceCtx> {
    /// Returns the model of an alias, if the deployment was granted it and the host has an engine for it.
    fn granted(&self, alias: &str) -> Result<std::sync::Arc<ModelInfo>, Fault> {
        let Some(name) = self.call.grants.get(alias) else {
            let known: Vec<&str> = self.call.grants.keys().map(String::as_str).collect();
            let message = format!(
                "the deployment was granted no model with the alias `{}`; granted aliases: {}",
                alias.chars().take(64).collect::<String>(),
                if known.is_empty() { "none".to_owned() } else { known.join(", ") }
            );
            return Err(Fault::new(Kind::Denied, "model_not_granted", message).blaming(Blame::Guest));
        };
        self.ctx.engines.model(name).ok_or_else(|| {
            let message = format!("the model with the alias `{alias}` has no engine on this host");
            Fault::new(Kind::Denied, "model_without_engine", message).blaming(Blame::Host).with_detail(name)
        })
    }
}

impl View<'_, InferenceCtx> {
    /// Returns the model info for the guest: its preferred widths replace the engine's width buckets, so that it pads
    /// to these.
    fn with_preferred_widths(
        &self,
        alias: &str,
        info: std::sync::Arc<ModelInfo>,
    ) -> Result<(std::sync::Arc<ModelInfo>, BatchingHints), Fault> {
        let declared = self.call.batching.iter().find(|declared| declared.model == alias);
        let hints = declared.map(BatchingHints::from).unwrap_or_default();
        let hints = BatchingHints { background: self.call.background, ..hints };
        let Some(declared) = declared else { return Ok((info, hints)) };
        let mut widths = declared.preferred_widths.clone();
        widths.sort_unstable();
        widths.dedup();
        if widths.is_empty() {
            return Ok((info, hints));
        }
        if let Some(width) = widths.iter().find(|width| !info.width_buckets.contains(width)) {
            let message = format!(
                "the guest prefers width {width} for `{alias}`, which is not a width bucket of {}; choose among its \
                 `width-buckets`",
                info.name
            );
            return Err(invalid("batching_width_unknown", message));
        }
        let info = ModelInfo { width_buckets: widths, ..ModelInfo::clone(&info) };
        Ok((std::sync::Arc::new(info), hints))
    }
}

/// A run about to leave the Store.
struct Run {
    item: WorkItem,
    rows: u64,
    pixels: u64,
}

/// Takes the arguments from the table and checks them against the model. The guest keeps its handles and their
/// reservations: while a run borrows a tensor, the component model does not let the guest drop it.
fn work_item(
    state: &mut View<'_, InferenceCtx>,
    model: &Resource<ModelHandle>,
    arguments: Vec<models::Argument>,
    outputs: Vec<String>,
) -> wasmtime::Result<Result<Run, Fault>> {
    let handle = state.table.get(model)?;
    let (info, hints) = (handle.info.clone(), handle.hints);
    let mut content = 1.0;
    let mut inputs = Vec::with_capacity(arguments.len());
    for argument in arguments {
        let handle = state.table.get(&argument.tensor)?;
        content *= handle.content;
        inputs.push((argument.name, handle.tensor.clone()));
    }
    if let Err(reason) = info.check_run(&inputs, &outputs) {
        return Ok(Err(invalid("model_argument_invalid", reason)));
    }
    // Background runs are served when the engine is idle; the batching policy is not asked about them.
    let planner = state.call.planner.clone().filter(|_| !state.call.background);
    let rows = inputs.first().map_or(0, |(_, tensor)| tensor.rows() as u64);
    let pixels = inputs.first().map_or(0, |(_, tensor)| tensor.pixels());
    state.submitted(pixels);
    let item = WorkItem {
        model: info.name.clone(),
        tenant: state.call.tenant.clone(),
        inputs,
        outputs,
        deadline: state.deadline.of_runs(),
        scheduling: Scheduling { weight: state.call.weight.max(1), hints, planner, content },
    };
    Ok(Ok(Run { item, rows, pixels }))
}

impl<T: Send + 'static> models::HostModelWithStore<T> for InferenceCtx {
    async fn run(
        store: &Accessor<T, Self>,
        model: Resource<ModelHandle>,
        inputs: Vec<models::Argument>,
        outputs: Vec<String>,
    ) -> Result<Result<Vec<Resource<TensorHandle>>, errors::Error>, wasmtime::Error> {
        let begun = store.with(|mut access| {
            let state = &mut access.get();
            state.enter()?;
            let now = Instant::now();
            if state.deadline.is_last_part(now) {
                let message = "the time of the page is nearly over, so the run was not started";
                return Ok(Err(Fault::new(Kind::Deadline, "engine_deadline", message)));
            }
            let run = work_item(state, &model, inputs, outputs)?;
            Ok::<_, wasmtime::Error>(run.map(|run| {
                let flight = (state.accounting.begin(), state.deadline.submit(now));
                (run, state.ctx.engines.clone(), flight)
            }))
        })?;
        let (Run { item, rows, pixels }, engines, (flight, under_way)) = match begun {
            Ok(begun) => begun,
            Err(fault) => return Ok(Err(tell(store, fault))),
        };
        let wanted = item.outputs.len();
        let bucket = item.inputs.first().and_then(|(_, tensor)| tensor.shape().get(1..)).unwrap_or_default();
        let asked = RunRequest {
            model: item.model.clone(),
            rows,
            pixels,
            bucket: bucket.to_vec(),
            content: item.scheduling.content,
        };
        let done = engines.infer(item).await;
        drop(flight);
        under_way.answered(done.as_ref().map_or(Duration::ZERO, |done| done.queue_wait));
        store.with(|mut access| {
            let state = &mut access.get();
            let done = match done {
                Ok(done) => done,
                Err(fault) => return Ok(Err(state.tell(fault))),
            };
            state.ran(asked, &done);
            if done.outputs.len() != wanted {
                return Err(AbortReason::Defect(
                    "an engine returned another number of outputs than requested".into(),
                )
                .into());
            }
            // All are reserved before one is kept, so that a failure leaves no handles.
            let charged: Result<Vec<Reservation>, Fault> =
                done.outputs.iter().map(|tensor| state.charge(tensor.bytes())).collect();
            let charges = match charged {
                Ok(charges) => charges,
                Err(fault) => return Ok(Err(state.tell(fault))),
            };
            let kept: wasmtime::Result<Vec<_>> = done
                .outputs
                .into_iter()
                .zip(charges)
                .map(|(tensor, charge)| state.keep(TensorHandle { tensor, content: 1.0, charge }))
                .collect();
            Ok(Ok(kept?))
        })
    }
}
