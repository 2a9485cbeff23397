//! The interface `options`: the options of the request, and those that a guest passes to the pipeline that it wraps.

use lector_core::options::{OptionError, parse_options};

use crate::answer;
use crate::bindings::options::lector::options::options;
use crate::view::{PipelineCtx, View};

impl options::Host for View<'_, PipelineCtx> {
    fn get(&mut self) -> wasmtime::Result<String> {
        self.enter()?;
        Ok(self.call.options.as_ref().to_owned())
    }

    fn pass(&mut self, options: String) -> wasmtime::Result<Result<(), options::Refusal>> {
        self.enter()?;
        let Some(wrapped) = self.call.wrapped.clone() else {
            let message = super::wrapped::nothing_wrapped().message;
            return Ok(Err(options::Refusal { pointer: String::new(), message }));
        };
        let checked = parse_options(&options).and_then(|options| wrapped.check_options(options));
        Ok(match checked {
            Ok(options) => {
                self.ctx.passed_options = Some(options);
                Ok(())
            }
            Err(OptionError { pointer, message }) => {
                Err(options::Refusal { pointer, message: answer::message(&message) })
            }
        })
    }
}
