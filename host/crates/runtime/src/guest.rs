//! A compiled, linked component, ready to be called. Every call gets its own instance.

use std::sync::Arc;

use lector_core::{
    CallCtx, ConfigError, Fault, Kind, OptionsSchema, PageRequest, PageRun, PageSource, PipelineInfo,
    SharedTranscript, Summary, Timing, with_member,
};

use crate::batching_policy::BatchingPolicyRunner;
use crate::bindings::GuestPre;
use crate::bindings::options::GuestOptionsPre;
use crate::bindings::policy::BatchingPolicyPre;
use crate::executor::Executor;
use crate::inspect::Inspection;
use crate::invoke::Invocation;
use crate::state::HostState;
use crate::status::Loaded;
use crate::{answer, convert};

/// The component of one revision. Cheap to clone; calls run concurrently on the guest threads of the runtime.
#[derive(Clone)]
pub struct Guest {
    executor: Arc<Executor>,
    exports: Exports,
    inspection: Arc<Inspection>,
    loaded: Arc<Loaded>,
}

/// The component, linked once for each of its interfaces.
#[derive(Clone)]
pub(crate) struct Exports {
    pub(crate) pipeline: GuestPre<HostState>,
    pub(crate) batching_policy: Option<BatchingPolicyPre<HostState>>,
    pub(crate) options: Option<GuestOptionsPre<HostState>>,
}

impl std::fmt::Debug for Guest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guest").field("digest", &self.inspection.sha256).finish_non_exhaustive()
    }
}

impl Guest {
    pub(crate) fn new(executor: Arc<Executor>, exports: Exports, inspection: Inspection) -> Self {
        let loaded = executor.counters.loaded();
        Self { executor, exports, inspection: Arc::new(inspection), loaded }
    }

    /// Returns the SHA-256 of the component in hex.
    pub fn digest(&self) -> &str {
        &self.inspection.sha256
    }

    /// Returns the names of the imports.
    pub fn imports(&self) -> &[String] {
        &self.inspection.imports
    }

    /// Returns the description of the component that was read without running it.
    pub fn inspection(&self) -> &Inspection {
        &self.inspection
    }

    /// Returns a runner of the guest's batching policy for one revision; `None` if the guest exports none.
    pub fn batching_policy(&self) -> Option<BatchingPolicyRunner> {
        let pre = self.exports.batching_policy.clone()?;
        let (executor, loaded) = (self.executor.clone(), self.loaded.clone());
        Some(BatchingPolicyRunner::new(executor, pre, self.digest().to_owned(), loaded))
    }

    /// Calls `configure` with `settings` (a JSON object). A config error of the guest is a value, not a fault.
    pub async fn configure(
        &self,
        ctx: &CallCtx,
        settings: &str,
    ) -> Result<Result<PipelineInfo, ConfigError>, Fault> {
        let (guest, ctx, settings) = (self.clone(), ctx.clone(), settings.to_owned());
        self.on_guest_thread(async move { guest.configured(&ctx, &settings).await }).await?
    }

    async fn configured(
        &self,
        ctx: &CallCtx,
        settings: &str,
    ) -> Result<Result<PipelineInfo, ConfigError>, Fault> {
        let mut call = Invocation::start(&self.executor, &self.exports.pipeline, ctx)
            .await
            .map_err(|(fault, _)| fault)?;
        call.tell_panics();
        let answered = call
            .run(async |store, guest| guest.lector_ocr_pipeline().call_configure(store, settings).await)
            .await;
        let outcome = match answered {
            Ok(Ok(pipeline_info)) => answer::pipeline_info(convert::pipeline_info(pipeline_info)).map(Ok),
            Ok(Err(config_error)) => Ok(Err(answer::config_error(convert::config_error(config_error)))),
            Err(fault) => Err(fault),
        };
        call.finish(&outcome);
        outcome
    }

    /// Calls `describe` for the schema of the guest's options; `None` if the guest exports none. Fault: `guest_answer_invalid`.
    pub async fn options_schema(&self, ctx: &CallCtx) -> Result<Option<OptionsSchema>, Fault> {
        let Some(pre) = self.exports.options.clone() else { return Ok(None) };
        let (guest, ctx) = (self.clone(), ctx.clone());
        self.on_guest_thread(async move { guest.described(&ctx, &pre).await }).await?.map(Some)
    }

    async fn described(
        &self,
        ctx: &CallCtx,
        pre: &GuestOptionsPre<HostState>,
    ) -> Result<OptionsSchema, Fault> {
        let mut call = Invocation::start(&self.executor, pre, ctx).await.map_err(|(fault, _)| fault)?;
        call.tell_panics();
        let answered =
            call.run(async |store, guest| guest.lector_options_schema().call_describe(store).await).await;
        let outcome = answered.and_then(|text| answer::options_schema(&text));
        call.finish(&outcome);
        outcome
    }

    /// Reads one page.
    pub async fn recognize(&self, ctx: &CallCtx, page: Arc<dyn PageSource>, request: PageRequest) -> PageRun {
        let (guest, mut ctx) = (self.clone(), ctx.clone());
        ctx.settings = settings_of(&ctx);
        let run = self.on_guest_thread(async move { guest.recognized(&ctx, page, request).await }).await;
        run.unwrap_or_else(|fault| PageRun { result: Err(fault), timing: Timing::default() })
    }

    async fn recognized(&self, ctx: &CallCtx, page: Arc<dyn PageSource>, request: PageRequest) -> PageRun {
        let mut call = match Invocation::start(&self.executor, &self.exports.pipeline, ctx).await {
            Ok(call) => call,
            Err((fault, timing)) => return PageRun { result: Err(fault), timing },
        };
        if request.explain {
            call.explain();
        }
        let dpi_asked = request.dpi;
        let request = convert::request(ctx.request.as_str(), ctx.file_name.as_deref(), request);
        let answered = match call.page(page, dpi_asked) {
            Ok(page) => {
                call.run(async |store, guest| {
                    let pipeline = guest.lector_ocr_pipeline();
                    store
                        .run_concurrent(async |access| pipeline.call_recognize(access, page, request).await)
                        .await?
                })
                .await
            }
            Err(fault) => Err(fault),
        };
        let result = match answered {
            Ok(Ok(page)) => answer::transcript(convert::transcript(page), ctx.budget.result_bytes),
            Ok(Err(error)) => Err(call.refused(error)),
            Err(fault) => Err(fault),
        };
        let timing: Timing = call.finish(&result);
        PageRun { result, timing }
    }

    /// Joins the pages of one document, in page order. The guest receives them one at a time.
    pub async fn assemble(&self, ctx: &CallCtx, pages: Vec<SharedTranscript>) -> Result<Summary, Fault> {
        let (guest, ctx) = (self.clone(), ctx.clone());
        self.on_guest_thread(async move { guest.assembled(&ctx, pages).await }).await?
    }

    async fn assembled(&self, ctx: &CallCtx, pages: Vec<SharedTranscript>) -> Result<Summary, Fault> {
        let mut call = Invocation::start(&self.executor, &self.exports.pipeline, ctx)
            .await
            .map_err(|(fault, _)| fault)?;
        let answered = match call.transcripts(pages) {
            Ok(pages) => {
                call.run(async |store, guest| {
                    let pipeline = guest.lector_ocr_pipeline();
                    store.run_concurrent(async |access| pipeline.call_assemble(access, pages).await).await?
                })
                .await
            }
            Err(fault) => Err(fault),
        };
        let outcome = match answered {
            Ok(Ok(summary)) => answer::summary(convert::summary(summary), ctx.budget.result_bytes),
            Ok(Err(error)) => Err(call.refused(error)),
            Err(fault) => Err(fault),
        };
        call.finish(&outcome);
        outcome
    }

    /// Runs `work` on the guest threads. Dropping the returned future ends the work.
    async fn on_guest_thread<R: Send + 'static>(
        &self,
        work: impl Future<Output = R> + Send + 'static,
    ) -> Result<R, Fault> {
        self.executor.threads.run(Box::pin(work)).await.map_err(|error| {
            Fault::new(Kind::Bug, "runtime_defect", "the guest call was aborted inside the host")
                .with_detail(error)
        })
    }
}

/// Returns the settings of a call: those of the revision, with the languages of the request where the guest takes them.
fn settings_of(ctx: &CallCtx) -> Arc<str> {
    if !ctx.takes_languages || ctx.languages.is_empty() {
        return ctx.settings.clone();
    }
    let languages = serde_json::Value::from(&*ctx.languages).to_string();
    // The guest accepted the settings, so they are an object; it judges them again.
    with_member(&ctx.settings, "languages", &languages).map_or_else(|_| ctx.settings.clone(), Into::into)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use std::time::Instant;

    use super::*;

    #[test]
    fn the_languages_of_a_request_replace_those_of_the_settings_where_the_guest_takes_them() {
        let settings = r#"{"languages":["ko"],"tier":"small"}"#;
        let of = |takes: bool, languages: &[&str]| {
            let mut ctx = CallCtx::new("acme", settings, Instant::now());
            ctx.takes_languages = takes;
            ctx.languages = languages.iter().map(|&tag| tag.to_owned()).collect();
            settings_of(&ctx).to_string()
        };
        assert_eq!(of(true, &["ru", "en"]), r#"{"languages":["ru","en"],"tier":"small"}"#);
        assert_eq!(of(true, &[]), settings);
        assert_eq!(of(false, &["ru"]), settings);
    }
}
