//! Options of a guest's own, which clients send with a request (`guest_options=`). Feature `options`.
//!
//! The guest describes them with a JSON Schema and names it in its export line: `export!(Mine, options)`. The host checks the
//! options of each request against the schema, and puts the schema's defaults in place of options that are missing;
//! [`get`] then reads them.
//!
//! ```
//! use lector_sdk::options::{self, GuestOptions};
//! use lector_sdk::{ConfigError, Error, Page, Pipeline, PipelineInfo, Request, Transcript};
//!
//! struct Stamp;
//!
//! impl GuestOptions for Stamp {
//!     const SCHEMA: &'static str = r#"{
//!         "type": "object",
//!         "additionalProperties": false,
//!         "properties": { "currency": { "type": "string", "enum": ["EUR", "USD"], "default": "EUR" } }
//!     }"#;
//! }
//!
//! #[derive(serde::Deserialize)]
//! struct Options {
//!     currency: String,
//! }
//!
//! impl Pipeline for Stamp {
//!     type Settings = std::collections::BTreeMap<String, String>;
//!
//!     fn configure(_: &Self::Settings) -> Result<PipelineInfo, ConfigError> {
//!         Ok(PipelineInfo::default())
//!     }
//!
//!     async fn recognize(page: &Page, _: &Request, _: &Self::Settings) -> Result<Transcript, Error> {
//!         let Options { currency } = options::get()?;
//!         let mut transcript = Transcript::blank(page.size_at(72.0), 72.0);
//!         transcript.set_property("currency", currency);
//!         Ok(transcript)
//!     }
//! }
//!
//! lector_sdk::export!(Stamp, options);
//! # fn main() {}
//! ```

use serde::de::DeserializeOwned;

use crate::{ConfigError, Error, Pipeline, host, settings};

/// A pipeline with options of its own.
pub trait GuestOptions: Pipeline {
    /// JSON Schema of the options: at most 64 KiB, `"type": "object"` at the root. An object without members must satisfy it
    /// once the defaults are filled in. `wit/deps/options/options.wit` lists the keywords; another one fails the deploy.
    ///
    /// `"additionalProperties": false` makes a mistyped name an error for the client, instead of an option without effect.
    const SCHEMA: &'static str;
}

/// Returns the options of the request that this call belongs to.
///
/// # Errors
///
/// If they do not fit `T`: then `T` and the schema of the guest differ.
pub fn get<T: DeserializeOwned>() -> Result<T, Error> {
    settings::parse(&host::options_get()).map_err(|ConfigError { pointer, message }| {
        let message = format!(
            "the options satisfy the schema and not the type of the guest: at \"{pointer}\": {message}"
        );
        Error::invalid("options_not_described", message)
    })
}

#[cfg(target_family = "wasm")]
mod exports {
    use super::GuestOptions;
    use crate::bindings::options::exports::lector::options::schema::Guest;
    use crate::pipeline::Component;

    impl<P: GuestOptions> Guest for Component<P> {
        fn describe() -> String {
            P::SCHEMA.to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::fake::{FakeHost, FakePage};
    use crate::{Page, PipelineInfo, Request, Transcript};

    /// Warns of its options.
    struct Inner;

    impl Pipeline for Inner {
        type Settings = serde_json::Map<String, serde_json::Value>;

        fn configure(_: &Self::Settings) -> Result<PipelineInfo, ConfigError> {
            Ok(PipelineInfo::default())
        }

        async fn recognize(page: &Page, _: &Request, _: &Self::Settings) -> Result<Transcript, Error> {
            let mut transcript = Transcript::blank(page.size_at(72.0), 72.0);
            transcript.warnings.push(get::<serde_json::Value>()?.to_string());
            Ok(transcript)
        }
    }

    #[test]
    fn options_are_those_of_the_request() {
        let read = |host: FakeHost| {
            host.recognize::<Inner>(FakePage::white(9, 9), Request::default(), "{}").unwrap().warnings
        };
        assert_eq!(read(FakeHost::new()), ["{}"]);
        assert_eq!(read(FakeHost::new().options(r#"{"a": 1}"#)), [r#"{"a":1}"#]);
    }

    #[test]
    fn options_of_another_type_name_the_place() {
        #[derive(Debug, serde::Deserialize)]
        struct Options {
            #[allow(dead_code)]
            digits: u8,
        }
        let host = FakeHost::new().options(r#"{"digits": "2"}"#);
        let error = host.run(async |_| get::<Options>(), FakePage::white(9, 9)).unwrap_err();
        assert_eq!(error.code, "options_not_described");
        assert!(error.message.contains("\"/digits\""), "{}", error.message);
    }

    #[cfg(feature = "wrapper")]
    #[test]
    fn a_wrapper_passes_options_of_its_own_choice() {
        use crate::inner;

        /// Passes what it is configured with.
        struct Outer;

        impl Pipeline for Outer {
            type Settings = serde_json::Map<String, serde_json::Value>;

            fn configure(_: &Self::Settings) -> Result<PipelineInfo, ConfigError> {
                Ok(PipelineInfo::default())
            }

            async fn recognize(
                page: &Page,
                request: &Request,
                settings: &Self::Settings,
            ) -> Result<Transcript, Error> {
                let mut first = inner::recognize(page.share(), request).await?;
                inner::pass_options(settings)?;
                first.warnings.extend(inner::recognize(page.share(), request).await?.warnings);
                first.warnings.push(get::<serde_json::Value>()?.to_string());
                Ok(first)
            }
        }

        let host = || FakeHost::new().options(r#"{"of": "client"}"#);
        let read = |host: FakeHost| {
            host.recognize::<Outer>(FakePage::white(9, 9), Request::default(), r#"{"of":"outer"}"#)
        };
        let page = read(host().wraps::<Inner>("{}")).unwrap();
        assert_eq!(page.warnings, ["{}", r#"{"of":"outer"}"#, r#"{"of":"client"}"#]);
        assert!(host().run(async |_| inner::pass_options(&1), FakePage::white(9, 9)).is_err());
    }
}
