//! The one trait that an author writes, and the way from the contract's exports to it. Knows nothing of any
//! particular pipeline. Called by the host through `export!`, and by the fake host.

use std::marker::PhantomData;

use serde::de::DeserializeOwned;

use crate::settings;
use crate::{Complaint, Declaration, Error, Page, Request, Summary, Transcript};

/// One tenant's way of reading pages.
///
/// Every page gets an instance of its own, so nothing carries over from one call to the next; what a
/// pipeline needs to know stands in its settings.
pub trait Pipeline: 'static {
    /// What a deployment may set. Give every member a default (`#[serde(default)]`), so that `{}` is
    /// acceptable, and refuse unknown ones (`#[serde(deny_unknown_fields)]`).
    type Settings: DeserializeOwned;

    /// Checks settings beyond what their types say, and declares what the pipeline will do with them.
    ///
    /// # Errors
    /// A [`Complaint`] that points at the member which is wrong and says what would be right.
    fn configure(settings: &Self::Settings) -> Result<Declaration, Complaint>;

    /// Reads one page. Write it as `async fn`.
    ///
    /// # Errors
    /// What the host answered, or the pipeline's own reason why the page cannot be read.
    fn recognize(
        page: &Page,
        request: &Request,
        settings: &Self::Settings,
    ) -> impl Future<Output = Result<Transcript, Error>>;

    /// Joins the pages of one document, in page order, pages that failed left out. The default joins their
    /// texts with a form feed between pages ([`join_pages`]).
    ///
    /// # Errors
    /// The pipeline's own reason why the document has no summary.
    fn assemble(
        pages: Vec<Transcript>,
        settings: &Self::Settings,
    ) -> impl Future<Output = Result<Summary, Error>> {
        let _ = settings;
        std::future::ready(Ok(Summary { text: join_pages(&pages), extra: None }))
    }
}

/// The texts of pages with a form feed between one and the next, as plain-text tools separate pages.
pub fn join_pages(pages: &[Transcript]) -> String {
    let texts: Vec<String> = pages.iter().map(Transcript::text).collect();
    texts.join("\u{c}\n")
}

/// The exports of a component that runs `P`.
#[doc(hidden)]
pub struct Component<P>(PhantomData<P>);

impl<P: Pipeline> Component<P> {
    /// `configure` of the contract.
    #[doc(hidden)]
    pub fn configure(settings: &str) -> Result<Declaration, Complaint> {
        let settings = settings::parse(settings)?;
        P::configure(&settings)
    }

    /// `recognize` of the contract, with the settings as text.
    #[doc(hidden)]
    pub async fn recognize(page: Page, request: Request, settings: &str) -> Result<Transcript, Error> {
        P::recognize(&page, &request, &Self::settled(settings)?).await
    }

    /// `assemble` of the contract, with the settings as text.
    #[doc(hidden)]
    pub async fn assemble(pages: Vec<Transcript>, settings: &str) -> Result<Summary, Error> {
        P::assemble(pages, &Self::settled(settings)?).await
    }

    /// Settings that `configure` has accepted before; refusing them now means that it was never asked.
    fn settled(settings: &str) -> Result<P::Settings, Error> {
        settings::parse(settings).map_err(|complaint| {
            let Complaint { pointer, message } = complaint;
            Error::Invalid(format!("the settings do not pass `configure`: at \"{pointer}\": {message}"))
        })
    }
}

#[cfg(target_family = "wasm")]
mod exports {
    use super::{Component, Pipeline};
    use crate::bindings::exports::lector::ocr::pipeline::Guest;
    use crate::host::{self, Page as Handle};
    use crate::{Complaint, Declaration, Error, Page, Request, Summary, Transcript, log};

    impl<P: Pipeline> Guest for Component<P> {
        fn configure(settings: String) -> Result<Declaration, Complaint> {
            tell_panics();
            Self::configure(&settings)
        }

        async fn recognize(page: Handle, request: Request) -> Result<Transcript, Error> {
            tell_panics();
            Self::recognize(Page(page), request, &host::settings_get()).await
        }

        async fn assemble(pages: Vec<Transcript>) -> Result<Summary, Error> {
            tell_panics();
            Self::assemble(pages, &host::settings_get()).await
        }
    }

    /// A panic ends the instance as a trap without a word; this puts its message into the host's log first.
    pub(crate) fn tell_panics() {
        std::panic::set_hook(Box::new(|panic| log::error(panic.to_string())));
    }
}

#[cfg(target_family = "wasm")]
pub(crate) use exports::tell_panics;

/// Makes a component of a [`Pipeline`]: write it once, at the top level of the crate.
///
/// `export!(Mine, batching)` exports its [`BatchProgram`](crate::batching::BatchProgram) as well. Outside WebAssembly it
/// only checks that the type is what it is said to be.
#[macro_export]
macro_rules! export {
    ($pipeline:ty, batching) => {
        $crate::export!($pipeline);
        #[allow(unsafe_code)]
        const _: () = {
            type Programmed = $crate::Component<$pipeline>;
            #[cfg(target_family = "wasm")]
    $crate::bindings::program::export_program!(Programmed with_types_in $crate::bindings::program);
            #[cfg(not(target_family = "wasm"))]
            const _: fn(
                &[$crate::batching::Waiting],
                &$crate::batching::Engine,
                u64,
                &<$pipeline as $crate::Pipeline>::Settings,
            ) -> $crate::batching::Decision = <$pipeline as $crate::batching::BatchProgram>::plan;
        };
    };
    ($pipeline:ty) => {
        #[allow(unsafe_code)]
        const _: () = {
            type Exported = $crate::Component<$pipeline>;
            #[cfg(target_family = "wasm")]
    $crate::bindings::export!(Exported with_types_in $crate::bindings);
            #[cfg(not(target_family = "wasm"))]
            const _: fn(&str) -> ::core::result::Result<$crate::Declaration, $crate::Complaint> =
                Exported::configure;
        };
    };
}
