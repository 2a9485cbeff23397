//! The parameters of a request, an input or an output: only those that Lector knows are kept, whatever a client sends.

use std::fmt;

use lector_core::Fault;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::super::call::unsupported;
use crate::http::problem::option_invalid;

/// Parameters that change what a client gets, and that Lector does not have.
const REFUSED: [&str; 7] = [
    "shared_memory_region",
    "shared_memory_offset",
    "shared_memory_byte_size",
    "classification",
    "sequence_id",
    "sequence_start",
    "sequence_end",
];

/// The parameters. Takes 64 bytes, however large their JSON is.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Parameters {
    /// A parameter of [`REFUSED`] that is set.
    refused: Option<&'static str>,
    binary_data_output: Option<Scalar>,
    binary_data: Option<Scalar>,
    binary_data_size: Option<Scalar>,
}

/// A value of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scalar {
    Bool(bool),
    Size(u64),
    Other,
}

impl Parameters {
    /// Fault `compat_unsupported`, if a parameter is set that Lector does not have.
    pub(super) fn supported(&self) -> Result<(), Fault> {
        match self.refused {
            Some(name) => Err(unsupported(format!("The parameter `{name}` is not supported."))),
            None => Ok(()),
        }
    }

    /// Returns whether all outputs are sent as binary data, if that is stated.
    pub(super) fn binary_data_output(&self) -> Result<Option<bool>, Fault> {
        flag("binary_data_output", self.binary_data_output)
    }

    /// Returns whether an output is sent as binary data, if that is stated.
    pub(super) fn binary_data(&self) -> Result<Option<bool>, Fault> {
        flag("binary_data", self.binary_data)
    }

    /// Returns the bytes of binary data of an input. Error: it is not a number.
    pub(super) fn binary_data_size(&self) -> Result<Option<usize>, NotSize> {
        match self.binary_data_size {
            None => Ok(None),
            Some(Scalar::Size(size)) => usize::try_from(size).map(Some).map_err(|_| NotSize),
            Some(_) => Err(NotSize),
        }
    }
}

/// A size that is not a number of bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct NotSize;

fn flag(name: &str, value: Option<Scalar>) -> Result<Option<bool>, Fault> {
    match value {
        None => Ok(None),
        Some(Scalar::Bool(value)) => Ok(Some(value)),
        Some(_) => Err(option_invalid(format!("`{name}` is not true or false."))),
    }
}

impl<'de> Deserialize<'de> for Parameters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Parameters;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of parameters")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Parameters, A::Error> {
        let mut parameters = Parameters::default();
        while let Some(Name(name)) = members.next_key()? {
            let value = members.next_value()?;
            match name {
                Some("binary_data_output") => parameters.binary_data_output = Some(value),
                Some("binary_data") => parameters.binary_data = Some(value),
                Some("binary_data_size") => parameters.binary_data_size = Some(value),
                // tritonclient sends a sequence of 0 for none.
                Some(_) if matches!(value, Scalar::Bool(false) | Scalar::Size(0)) => {}
                Some(name) => parameters.refused = Some(name),
                None => {}
            }
        }
        Ok(parameters)
    }
}

/// The name of a parameter, if Lector knows it.
struct Name(Option<&'static str>);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Known;

        impl Visitor<'_> for Known {
            type Value = Name;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a parameter")
            }

            fn visit_str<E>(self, name: &str) -> Result<Name, E> {
                let read = ["binary_data_output", "binary_data", "binary_data_size"];
                Ok(Name(REFUSED.into_iter().chain(read).find(|known| *known == name)))
            }
        }

        deserializer.deserialize_identifier(Known)
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyScalar)
    }
}

struct AnyScalar;

impl<'de> Visitor<'de> for AnyScalar {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Scalar, E> {
        Ok(Scalar::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Scalar, E> {
        Ok(Scalar::Size(value))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Scalar, E> {
        Ok(Scalar::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Scalar, E> {
        Ok(Scalar::Other)
    }

    fn visit_str<E>(self, _: &str) -> Result<Scalar, E> {
        Ok(Scalar::Other)
    }

    fn visit_unit<E>(self) -> Result<Scalar, E> {
        Ok(Scalar::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Scalar, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Scalar, A::Error> {
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Other)
    }
}
