//! A host for unit tests: pages made of pixels and spans, models made of closures, no WebAssembly. It behaves like the
//! contract as far as a guest can observe, and counts calls for assertions. It is simple rather than fast, and never
//! part of a component.
//!
//! ```
//! use lector_sdk::fake::{Array, FakeHost, FakeModel, FakePage};
//! use lector_sdk::{ConfigError, PipelineInfo, Error, Model, Page, Pipeline, Request, Tensor, Transcript};
//!
//! struct Doubling;
//!
//! impl Pipeline for Doubling {
//!     type Settings = std::collections::BTreeMap<String, String>;
//!
//!     fn configure(_: &Self::Settings) -> Result<PipelineInfo, ConfigError> {
//!         Ok(PipelineInfo { models: vec!["double".to_owned()], ..PipelineInfo::default() })
//!     }
//!
//!     async fn recognize(page: &Page, _: &Request, _: &Self::Settings) -> Result<Transcript, Error> {
//!         let model = Model::open("double")?;
//!         let input = Tensor::from_f32(&[2], &[1.0, 2.0])?;
//!         let [output] = model.run_one(&model.describe(), &input, ["y"]).await?;
//!         let mut transcript = Transcript::blank(page.size_at(72.0), 72.0);
//!         transcript.warnings.push(format!("{:?}", output.to_f32()?));
//!         Ok(transcript)
//!     }
//! }
//!
//! let host = FakeHost::new().model(
//!     "double",
//!     FakeModel::new("x", ["y"], |x| {
//!         let doubled: Vec<f32> = x.f32s()?.iter().map(|value| value * 2.0).collect();
//!         Ok(vec![Array::f32(x.shape(), doubled)])
//!     }),
//! );
//! let transcript = host.recognize::<Doubling>(FakePage::white(10, 10), Request::default(), "{}")?;
//! assert_eq!(transcript.warnings, ["[2.0, 4.0]"]);
//! assert_eq!(host.runs("double"), 1);
//! # Ok::<(), Error>(())
//! ```

mod array;
mod executor;
pub(crate) mod handles;
mod page;
mod pixels;
mod png;
#[cfg(feature = "wrapper")]
mod wrapped;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::pipeline::Component;
use crate::{
    ConfigError, Dtype, Error, Level, ModelInfo, Pipeline, PipelineInfo, Port, Request, Summary, Transcript,
};

pub use array::Array;
pub use executor::{block_on, yield_now};
pub use page::FakePage;
pub use pixels::Pixels;

thread_local! {
    /// The host of the guest that runs on this thread. The free functions of the contract have no other access to it.
    static CURRENT: RefCell<Option<Rc<State>>> = const { RefCell::new(None) };
}

/// The state and counters of the fake host while guests run on it.
#[derive(Default)]
pub(crate) struct State {
    models: BTreeMap<String, Rc<FakeModel>>,
    logs: RefCell<Vec<(Level, String)>>,
    spans: RefCell<BTreeMap<String, u32>>,
    pixels_read: Cell<u64>,
    /// Options of the request; `None`: `{}`.
    #[cfg(feature = "options")]
    options: RefCell<Option<Rc<str>>>,
    /// Options that the guest passed to the pipeline that it wraps.
    #[cfg(all(feature = "options", feature = "wrapper"))]
    passed_options: RefCell<Option<Rc<str>>>,
    #[cfg(feature = "wrapper")]
    wrapped: Option<Rc<dyn wrapped::Wrapped>>,
}

/// A host without engines: grants closures as models, and runs pipelines on fake pages.
#[derive(Default)]
pub struct FakeHost {
    state: State,
    shared: RefCell<Option<Rc<State>>>,
}

impl FakeHost {
    /// Makes a host that grants nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Grants `model` under `alias`. Call it before anything runs.
    #[must_use]
    pub fn model(mut self, alias: &str, model: FakeModel) -> Self {
        self.state.models.insert(alias.to_owned(), Rc::new(model));
        self
    }

    /// Makes pipelines on this host wrap `P` with these settings. Call it before anything runs.
    #[cfg(feature = "wrapper")]
    #[must_use]
    pub fn wraps<P: Pipeline>(mut self, settings: &str) -> Self {
        self.state.wrapped = Some(wrapped::wrapped::<P>(settings));
        self
    }

    /// Makes requests on this host carry these options (a JSON object), as the host gives them to a guest: they satisfy the
    /// schema, and its defaults are filled in. The fake host checks neither. Call it before anything runs.
    #[cfg(feature = "options")]
    #[must_use]
    pub fn options(mut self, options: &str) -> Self {
        self.state.options = RefCell::new(Some(options.into()));
        self
    }

    /// Calls the pipeline's `configure` as the host does.
    ///
    /// # Errors
    ///
    /// The config error of the pipeline.
    pub fn configure<P: Pipeline>(&self, settings: &str) -> Result<PipelineInfo, ConfigError> {
        self.entered(|| Component::<P>::configure(settings))
    }

    /// Calls the pipeline's `recognize` as the host does.
    ///
    /// # Errors
    ///
    /// The pipeline's error.
    pub fn recognize<P: Pipeline>(
        &self,
        page: FakePage,
        request: Request,
        settings: &str,
    ) -> Result<Transcript, Error> {
        let page = crate::Page(handles::Page::new(page));
        self.entered(|| block_on(Component::<P>::recognize(page, request, settings)))
    }

    /// Calls the pipeline's `assemble` as the host does.
    ///
    /// # Errors
    ///
    /// The pipeline's error.
    pub fn assemble<P: Pipeline>(&self, pages: Vec<Transcript>, settings: &str) -> Result<Summary, Error> {
        let pages = crate::Pages::from_list(pages)?;
        self.entered(|| block_on(Component::<P>::assemble(pages, settings)))
    }

    /// Runs `work`, which uses the SDK's handles, on this host: for tests of single steps.
    pub fn run<T>(&self, work: impl AsyncFnOnce(crate::Page) -> T, page: FakePage) -> T {
        let page = crate::Page(handles::Page::new(page));
        self.entered(|| block_on(work(page)))
    }

    /// Returns the number of runs of the model granted as `alias` so far.
    pub fn runs(&self, alias: &str) -> u32 {
        self.state().models.get(alias).map_or(0, |model| model.runs.get())
    }

    /// Returns the number of rows (first axis) over all runs of the model granted as `alias`.
    pub fn rows(&self, alias: &str) -> u64 {
        self.state().models.get(alias).map_or(0, |model| model.rows.get())
    }

    /// Returns the maximum number of runs of that model that were awaited at once.
    pub fn in_flight_max(&self, alias: &str) -> u32 {
        self.state().models.get(alias).map_or(0, |model| model.in_flight_max.get())
    }

    /// Returns all logged events.
    pub fn logs(&self) -> Vec<(Level, String)> {
        self.state().logs.borrow().clone()
    }

    /// Returns the number of opened spans of that name.
    pub fn spans(&self, name: &str) -> u32 {
        self.state().spans.borrow().get(name).copied().unwrap_or(0)
    }

    /// Returns the number of pixels that guests copied out of images.
    pub fn pixels_read(&self) -> u64 {
        self.state().pixels_read.get()
    }

    fn state(&self) -> Rc<State> {
        let mut shared = self.shared.borrow_mut();
        let state = shared.get_or_insert_with(|| {
            Rc::new(State {
                models: self.state.models.clone(),
                #[cfg(feature = "options")]
                options: self.state.options.clone(),
                #[cfg(feature = "wrapper")]
                wrapped: self.state.wrapped.clone(),
                ..State::default()
            })
        });
        Rc::clone(state)
    }

    fn entered<T>(&self, work: impl FnOnce() -> T) -> T {
        let before = CURRENT.with(|current| current.replace(Some(self.state())));
        let result = work();
        CURRENT.with(|current| current.replace(before));
        result
    }
}

/// Calls `ask` with the host that runs on this thread; returns the default of `T` if none runs.
pub(crate) fn current<T: Default>(ask: impl FnOnce(&State) -> T) -> T {
    CURRENT.with(|current| current.borrow().as_deref().map(ask).unwrap_or_default())
}

type Closure = dyn Fn(&[&Array]) -> Result<Vec<Array>, Error>;

/// A model implemented by a closure.
pub struct FakeModel {
    info: ModelInfo,
    labels: Vec<String>,
    outputs: Vec<String>,
    compute: Box<Closure>,
    runs: Cell<u32>,
    rows: Cell<u64>,
    in_flight: Cell<u32>,
    in_flight_max: Cell<u32>,
}

impl FakeModel {
    /// Makes a model that takes `input` (single precision, any shape) and returns `outputs`, in this order.
    pub fn new<const N: usize>(
        input: &str,
        outputs: [&str; N],
        compute: impl Fn(&Array) -> Result<Vec<Array>, Error> + 'static,
    ) -> Self {
        Self::with_inputs([(input, Dtype::F32)], outputs, move |[input]| compute(input))
    }

    /// Makes a model that takes these inputs, each by its name and type, and returns `outputs`, both in this order.
    pub fn with_inputs<const I: usize, const N: usize>(
        inputs: [(&str, Dtype); I],
        outputs: [&str; N],
        compute: impl Fn([&Array; I]) -> Result<Vec<Array>, Error> + 'static,
    ) -> Self {
        let port = |name: &str, dtype| Port { name: name.to_owned(), dtype, shape: Vec::new() };
        Self {
            info: ModelInfo {
                name: "fake".to_owned(),
                inputs: inputs.map(|(name, dtype)| port(name, dtype)).into(),
                outputs: outputs.map(|name| port(name, Dtype::F32)).into(),
                labels: 0,
                width_buckets: Vec::new(),
                max_batch: 64,
            },
            labels: Vec::new(),
            outputs: outputs.iter().map(|&name| name.to_owned()).collect(),
            compute: Box::new(move |given: &[&Array]| match given.try_into() {
                Ok(given) => compute(given),
                Err(_) => {
                    Err(Error::invalid("model_argument_invalid", format!("{} inputs of {I}", given.len())))
                }
            }),
            runs: Cell::new(0),
            rows: Cell::new(0),
            in_flight: Cell::new(0),
            in_flight_max: Cell::new(0),
        }
    }

    /// Returns the model with labels.
    #[must_use]
    pub fn labels<S: Into<String>>(mut self, labels: impl IntoIterator<Item = S>) -> Self {
        self.labels = labels.into_iter().map(Into::into).collect();
        self.info.labels = self.labels.len() as u32;
        self
    }

    /// Returns the model so that it answers `runs` runs, and refuses the others with `error`, as the host does near the
    /// deadline of a page.
    #[must_use]
    pub fn refusing_after(mut self, runs: u32, error: Error) -> Self {
        let (compute, left) = (self.compute, Cell::new(runs));
        self.compute = Box::new(move |input| {
            if left.get() == 0 {
                return Err(error.clone());
            }
            left.set(left.get() - 1);
            compute(input)
        });
        self
    }

    /// Returns the model with another description.
    #[must_use]
    pub fn described(mut self, change: impl FnOnce(&mut ModelInfo)) -> Self {
        change(&mut self.info);
        self
    }
}
