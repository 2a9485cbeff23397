//! The trait that an author implements, and the adapters from the exports of the contract to it. Called by the host
//! through `export!`, and by the fake host.

use std::marker::PhantomData;

use serde::de::DeserializeOwned;

use crate::settings;
use crate::{ConfigError, Error, Page, Pages, PipelineInfo, Request, Summary, Transcript};

/// A tenant's OCR pipeline.
///
/// Every page gets its own instance, so no state carries over from one call to the next; all configuration comes from
/// the settings.
pub trait Pipeline: 'static {
    /// The settings of a deployment. Give every member a default (`#[serde(default)]`), so that `{}` is valid, and
    /// reject unknown members (`#[serde(deny_unknown_fields)]`).
    type Settings: DeserializeOwned;

    /// Checks settings beyond their types, and describes the pipeline that they configure.
    ///
    /// # Errors
    ///
    /// A [`ConfigError`] that points at the invalid member and names the valid values.
    fn configure(settings: &Self::Settings) -> Result<PipelineInfo, ConfigError>;

    /// Reads one page. Write it as `async fn`.
    ///
    /// # Errors
    ///
    /// The error of the host, or the pipeline's own reason why the page cannot be read.
    fn recognize(
        page: &Page,
        request: &Request,
        settings: &Self::Settings,
    ) -> impl Future<Output = Result<Transcript, Error>>;

    /// Joins the pages of one document, in page order, without the failed pages. The default joins their texts with a
    /// form feed between pages, like [`join_pages`], and holds one page at a time.
    ///
    /// # Errors
    ///
    /// The pipeline's own reason why the document has no summary.
    fn assemble(pages: Pages, settings: &Self::Settings) -> impl Future<Output = Result<Summary, Error>> {
        let _ = settings;
        async move {
            let mut pages = pages;
            let mut text = String::new();
            let mut first = true;
            while let Some(page) = pages.next().await? {
                if !std::mem::take(&mut first) {
                    text.push_str(PAGE_BREAK);
                }
                text.push_str(&page.text());
            }
            Ok(Summary::of(text))
        }
    }
}

/// Separator between the texts of two pages.
const PAGE_BREAK: &str = "\u{c}\n";

/// Returns the texts of pages separated by form feeds, as plain-text tools separate pages.
pub fn join_pages(pages: &[Transcript]) -> String {
    let texts: Vec<String> = pages.iter().map(Transcript::text).collect();
    texts.join(PAGE_BREAK)
}

/// The exports of a component that runs `P`.
#[doc(hidden)]
pub struct Component<P>(PhantomData<P>);

impl<P: Pipeline> Component<P> {
    /// Implements `configure` of the contract.
    #[doc(hidden)]
    pub fn configure(settings: &str) -> Result<PipelineInfo, ConfigError> {
        let settings = settings::parse(settings)?;
        P::configure(&settings)
    }

    /// Implements `recognize` of the contract, with the settings as text.
    #[doc(hidden)]
    pub async fn recognize(page: Page, request: Request, settings: &str) -> Result<Transcript, Error> {
        P::recognize(&page, &request, &Self::settled(settings)?).await
    }

    /// Implements `assemble` of the contract, with the settings as text.
    #[doc(hidden)]
    pub async fn assemble(pages: Pages, settings: &str) -> Result<Summary, Error> {
        P::assemble(pages, &Self::settled(settings)?).await
    }

    /// Parses settings that `configure` accepted earlier. A failure means that `configure` was never called.
    fn settled(settings: &str) -> Result<P::Settings, Error> {
        settings::parse(settings).map_err(|config_error| {
            let ConfigError { pointer, message } = config_error;
            let message = format!("the settings do not pass `configure`: at \"{pointer}\": {message}");
            Error::invalid("settings_not_configured", message)
        })
    }
}

#[cfg(target_family = "wasm")]
mod exports {
    use super::{Component, Pipeline};
    use crate::bindings::exports::lector::ocr::pipeline::Guest;
    use crate::host::{self, Page as Handle, Transcripts};
    use crate::{ConfigError, Error, Page, Pages, PipelineInfo, Request, Summary, Transcript, log};

    impl<P: Pipeline> Guest for Component<P> {
        fn configure(settings: String) -> Result<PipelineInfo, ConfigError> {
            tell_panics();
            Self::configure(&settings)
        }

        async fn recognize(page: Handle, request: Request) -> Result<Transcript, Error> {
            tell_panics();
            Self::recognize(Page(page), request, &host::settings_get()).await
        }

        async fn assemble(pages: Transcripts) -> Result<Summary, Error> {
            tell_panics();
            Self::assemble(Pages(pages), &host::settings_get()).await
        }
    }

    /// Installs a panic hook that logs the message first: a panic ends the instance as a trap without a message.
    pub(crate) fn tell_panics() {
        std::panic::set_hook(Box::new(|panic| log::error(panic.to_string())));
    }
}

#[cfg(target_family = "wasm")]
pub(crate) use exports::tell_panics;

/// Makes a component of a [`Pipeline`]: write it once, at the top level of the crate.
///
/// `export!(Mine, batching)` also exports its [`BatchingPolicy`](crate::batching::BatchingPolicy), and `export!(Mine, options)`
/// the schema of its options (`GuestOptions`, feature `options`); `export!(Mine, batching, options)` exports both. Outside
/// WebAssembly the macro only checks that the type implements the traits.
#[macro_export]
macro_rules! export {
    (@batching $pipeline:ty) => {
        #[allow(unsafe_code)]
        const _: () = {
            type Programmed = $crate::Component<$pipeline>;
            #[cfg(target_family = "wasm")]
    $crate::bindings::policy::export_policy!(Programmed with_types_in $crate::bindings::policy);
            #[cfg(not(target_family = "wasm"))]
            const _: fn(
                &[$crate::batching::WaitingRun],
                &$crate::batching::EngineState,
                u64,
                &<$pipeline as $crate::Pipeline>::Settings,
            ) -> $crate::batching::Decision = <$pipeline as $crate::batching::BatchingPolicy>::plan;
        };
    };
    (@options $pipeline:ty) => {
        #[allow(unsafe_code)]
        const _: () = {
            type Described = $crate::Component<$pipeline>;
            #[cfg(target_family = "wasm")]
    $crate::bindings::options::export_options!(Described with_types_in $crate::bindings::options);
            #[cfg(not(target_family = "wasm"))]
            const _: &str = <$pipeline as $crate::options::GuestOptions>::SCHEMA;
        };
    };
    ($pipeline:ty, $($extra:ident),+) => {
        $crate::export!($pipeline);
        $($crate::export!(@$extra $pipeline);)+
    };
    ($pipeline:ty) => {
        #[allow(unsafe_code)]
        const _: () = {
            type Exported = $crate::Component<$pipeline>;
            #[cfg(target_family = "wasm")]
    $crate::bindings::export!(Exported with_types_in $crate::bindings);
            #[cfg(not(target_family = "wasm"))]
            const _: fn(&str) -> ::core::result::Result<$crate::PipelineInfo, $crate::ConfigError> =
                Exported::configure;
        };
    };
}
