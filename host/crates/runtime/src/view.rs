//! The views of a Store, one for each capability: what its host functions may touch.
//!
//! A capability is a context of its own (engines, permits ...). Its view is that context, the table of handles, and the
//! state of the call that all capabilities share. The pattern is that of wasmtime-wasi (`WasiView`, `HasData`), so that a
//! capability of another crate, such as `wasi:http`, joins as one more context beside these.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use lector_core::Engines;
use tokio::sync::Semaphore;
use wasmtime::component::{HasData, Resource, ResourceTable};

use crate::blocking::Blocking;
use crate::call_state::CallState;
use crate::resource_accounting::Reservation;

/// Largest number of concurrent renderings of one call; further ones wait. A guest needs one or two resolutions of its page.
const RENDERS_MAX: usize = 4;

/// The view of a capability with the context `C`. Reads and changes the state of the call as its own.
pub struct View<'a, C> {
    pub ctx: &'a mut C,
    pub table: &'a mut ResourceTable,
    pub call_state: &'a mut CallState,
}

impl<C> View<'_, C> {
    /// Stores a resource in the handle table.
    pub fn keep<R: Send + 'static>(&mut self, resource: R) -> wasmtime::Result<Resource<R>> {
        Ok(self.table.push(resource)?)
    }
}

impl<C> Deref for View<'_, C> {
    type Target = CallState;

    fn deref(&self) -> &CallState {
        self.call_state
    }
}

impl<C> DerefMut for View<'_, C> {
    fn deref_mut(&mut self) -> &mut CallState {
        self.call_state
    }
}

/// A capability whose operations run on blocking threads.
pub trait Computes {
    /// Returns the permits for its operations.
    fn blocking(&self) -> &Blocking;
}

/// The page and the transcripts of the call: `document`.
pub struct DocumentCtx {
    /// Held while a text layer is fetched: a guest fetches one at a time.
    pub text_layer: Arc<Semaphore>,
    /// A permit is held while the page is rendered: the queue of the document workers is shared by all tenants.
    pub renders: Arc<Semaphore>,
    /// Reservation for the last text layer returned. Until the next one, the layer may still be on its way into the
    /// guest.
    pub text_layer_charge: Option<Reservation>,
}

impl Default for DocumentCtx {
    fn default() -> Self {
        Self {
            text_layer: Arc::new(Semaphore::new(1)),
            renders: Arc::new(Semaphore::new(RENDERS_MAX)),
            text_layer_charge: None,
        }
    }
}

/// Pixels in the host: `lector:image`.
pub struct ImageCtx {
    pub blocking: Blocking,
}

/// Tensors and models: `lector:inference`.
pub struct InferenceCtx {
    pub engines: Arc<dyn Engines>,
    pub blocking: Blocking,
}

/// What a guest says about itself and may know about its call: `log`, `trace`, `settings`, `budget`. It has no context of
/// its own: all of it is state of the call.
#[derive(Default)]
pub struct ObserveCtx;

/// The options of the request, and the wrapped pipeline: `options`, and `pipeline` as an import.
pub struct PipelineCtx {
    /// Permit for one call of the wrapped pipeline at a time. Each call gets the budget that earlier calls left.
    pub inner_turn: Arc<Semaphore>,
    /// Options for its later calls; `None`: the defaults of its schema.
    pub passed_options: Option<Arc<str>>,
}

impl Default for PipelineCtx {
    fn default() -> Self {
        Self { inner_turn: Arc::new(Semaphore::new(1)), passed_options: None }
    }
}

impl Computes for ImageCtx {
    fn blocking(&self) -> &Blocking {
        &self.blocking
    }
}

impl Computes for InferenceCtx {
    fn blocking(&self) -> &Blocking {
        &self.blocking
    }
}

impl HasData for DocumentCtx {
    type Data<'a> = View<'a, Self>;
}

impl HasData for ImageCtx {
    type Data<'a> = View<'a, Self>;
}

impl HasData for InferenceCtx {
    type Data<'a> = View<'a, Self>;
}

impl HasData for ObserveCtx {
    type Data<'a> = View<'a, Self>;
}

impl HasData for PipelineCtx {
    type Data<'a> = View<'a, Self>;
}
