//! The data of one Store: the state of the call, the guest's handles and memory limits, and the context of each
//! capability.
//!
//! Created by `invoke` for one call and dropped with the Store; `imports` links a view of it for each capability.

use std::sync::Arc;

use lector_core::{CallCtx, Engines};
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

use crate::blocking::Blocking;
use crate::call_deadline::CallDeadline;
use crate::call_state::CallState;
use crate::limits::Limits;
use crate::log::LogStream;
use crate::log_rate::LogRates;
use crate::view::{DocumentCtx, ImageCtx, InferenceCtx, ObserveCtx, PipelineCtx, View};

/// Maximum handles of WASI in addition to the guest's own: streams, pollables, terminals.
const WASI_HANDLES_MAX: usize = 1024;
/// Maximum random bytes of one call.
const RANDOM_BYTES_MAX: u64 = 1 << 20;

/// The data of a Store.
pub struct HostState {
    pub table: ResourceTable,
    pub limits: Limits,
    pub call_state: CallState,
    document: DocumentCtx,
    image: ImageCtx,
    inference: InferenceCtx,
    observe: ObserveCtx,
    pipeline: PipelineCtx,
    /// Created at the guest's first call into WASI; most guests make none.
    wasi: Option<Box<WasiCtx>>,
}

impl HostState {
    pub fn new(
        call: CallCtx,
        deadline: Arc<CallDeadline>,
        engines: Arc<dyn Engines>,
        blocking: Blocking,
        log_rates: &Arc<LogRates>,
    ) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(call.budget.handles as usize + WASI_HANDLES_MAX);
        Self {
            table,
            limits: Limits::new(&call.budget),
            call_state: CallState::new(call, deadline, log_rates),
            document: DocumentCtx::default(),
            image: ImageCtx { blocking: blocking.clone() },
            inference: InferenceCtx { engines, blocking },
            observe: ObserveCtx,
            pipeline: PipelineCtx::default(),
            wasi: None,
        }
    }

    /// Returns the view of the page and the transcripts.
    pub fn document(&mut self) -> View<'_, DocumentCtx> {
        View { ctx: &mut self.document, table: &mut self.table, call_state: &mut self.call_state }
    }

    /// Returns the view of images.
    pub fn image(&mut self) -> View<'_, ImageCtx> {
        View { ctx: &mut self.image, table: &mut self.table, call_state: &mut self.call_state }
    }

    /// Returns the view of tensors and models.
    pub fn inference(&mut self) -> View<'_, InferenceCtx> {
        View { ctx: &mut self.inference, table: &mut self.table, call_state: &mut self.call_state }
    }

    /// Returns the view of log, spans, settings and budget.
    pub fn observe(&mut self) -> View<'_, ObserveCtx> {
        View { ctx: &mut self.observe, table: &mut self.table, call_state: &mut self.call_state }
    }

    /// Returns the view of the wrapped pipeline.
    pub fn pipeline(&mut self) -> View<'_, PipelineCtx> {
        View { ctx: &mut self.pipeline, table: &mut self.table, call_state: &mut self.call_state }
    }
}

impl WasiView for HostState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let log = &self.call_state.log;
        let ctx = self.wasi.get_or_insert_with(|| {
            // No grants: no files, no network, no environment, no arguments, an empty stdin.
            let mut wasi = WasiCtx::builder();
            wasi.stdout(LogStream::new(log, "stdout"))
                .stderr(LogStream::new(log, "stderr"))
                .max_random_size(RANDOM_BYTES_MAX)
                .allow_tcp(false)
                .allow_udp(false)
                .allow_ip_name_lookup(false);
            Box::new(wasi.build())
        });
        WasiCtxView { ctx, table: &mut self.table }
    }
}
