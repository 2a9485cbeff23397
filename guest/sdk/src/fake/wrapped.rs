//! The pipeline that the pipeline under test wraps, for `inner`.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::rc::Rc;

use super::handles::{Page, Transcripts};
use crate::pipeline::Component;
use crate::{ConfigError, Error, Pages, Pipeline, PipelineInfo, Request, Summary, Transcript};

type Answer<T> = Pin<Box<dyn Future<Output = Result<T, Error>>>>;

/// The contract's interface `pipeline`, as an import.
pub(crate) trait Wrapped {
    fn configure(&self) -> Result<PipelineInfo, ConfigError>;
    fn recognize(&self, page: Page, request: Request) -> Answer<Transcript>;
    fn assemble(&self, pages: Transcripts) -> Answer<Summary>;
}

struct Inner<P> {
    settings: Rc<str>,
    pipeline: PhantomData<P>,
}

pub(crate) fn wrapped<P: Pipeline>(settings: &str) -> Rc<dyn Wrapped> {
    Rc::new(Inner::<P> { settings: settings.into(), pipeline: PhantomData })
}

impl<P: Pipeline> Wrapped for Inner<P> {
    fn configure(&self) -> Result<PipelineInfo, ConfigError> {
        Component::<P>::configure(&self.settings)
    }

    fn recognize(&self, page: Page, request: Request) -> Answer<Transcript> {
        let settings = Rc::clone(&self.settings);
        with_passed_options(
            async move { Component::<P>::recognize(crate::Page(page), request, &settings).await },
        )
    }

    fn assemble(&self, pages: Transcripts) -> Answer<Summary> {
        let settings = Rc::clone(&self.settings);
        with_passed_options(async move { Component::<P>::assemble(Pages(pages), &settings).await })
    }
}

/// Runs a call of the wrapped pipeline, which gets the options that were passed to it, in place of the client's.
#[cfg(feature = "options")]
fn with_passed_options<T: 'static>(call: impl Future<Output = Result<T, Error>> + 'static) -> Answer<T> {
    use crate::fake::current;

    let passed = current(|state| state.passed_options.borrow().clone());
    let mut call = Box::pin(call);
    Box::pin(std::future::poll_fn(move |cx| {
        let own = current(|state| state.options.replace(passed.clone()));
        let polled = call.as_mut().poll(cx);
        current(|state| *state.options.borrow_mut() = own);
        polled
    }))
}

#[cfg(not(feature = "options"))]
fn with_passed_options<T: 'static>(call: impl Future<Output = Result<T, Error>> + 'static) -> Answer<T> {
    Box::pin(call)
}
