//! Tensors as JSON: arrays of numbers, flat or nested as the shape, in both directions.

use std::fmt;
use std::io::Write;

use lector_core::{Dtype, Tensor, TensorData};
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};

/// Maximum depth of nested arrays: the most axes of a tensor.
const DEPTH_MAX: usize = 16;

/// A number as JSON has it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
}

/// The numbers of an array, in row-major order.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Numbers(Vec<Number>);

impl<'de> Deserialize<'de> for Numbers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut numbers = Vec::new();
        deserializer.deserialize_seq(Array { numbers: &mut numbers, depth: 1 })?;
        Ok(Self(numbers))
    }
}

struct Array<'a> {
    numbers: &'a mut Vec<Number>,
    depth: usize,
}

impl<'de> Visitor<'de> for Array<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of numbers")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        while items.next_element_seed(Item { numbers: &mut *self.numbers, depth: self.depth })?.is_some() {}
        Ok(())
    }
}

struct Item<'a> {
    numbers: &'a mut Vec<Number>,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Item<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Item<'_> {
    fn push<E>(self, number: Number) -> Result<(), E> {
        self.numbers.push(number);
        Ok(())
    }
}

impl<'de> Visitor<'de> for Item<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, or an array of numbers")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.push(Number::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.push(Number::Unsigned(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.push(Number::Signed(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.push(Number::Float(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<(), A::Error> {
        if self.depth >= DEPTH_MAX {
            return Err(A::Error::custom("the arrays are nested too deeply"));
        }
        Array { numbers: self.numbers, depth: self.depth + 1 }.visit_seq(items)
    }
}

impl Number {
    fn whole<T: TryFrom<u64> + TryFrom<i64>>(self) -> Option<T> {
        match self {
            Self::Unsigned(value) => T::try_from(value).ok(),
            Self::Signed(value) => T::try_from(value).ok(),
            Self::Bool(_) | Self::Float(_) => None,
        }
    }

    fn float(self) -> Option<f64> {
        match self {
            Self::Unsigned(value) => Some(value as f64),
            Self::Signed(value) => Some(value as f64),
            Self::Float(value) => Some(value),
            Self::Bool(_) => None,
        }
    }

    fn bool(self) -> Option<u8> {
        match self {
            Self::Bool(value) => Some(u8::from(value)),
            Self::Unsigned(value @ (0 | 1)) => Some(value as u8),
            _ => None,
        }
    }
}

impl Numbers {
    /// Returns the elements; an error for a number that the type does not have. Half-precision numbers have no JSON form.
    pub(super) fn elements(self, dtype: Dtype) -> Result<TensorData, String> {
        fn all<T>(numbers: Vec<Number>, one: impl Fn(Number) -> Option<T>) -> Option<Vec<T>> {
            numbers.into_iter().map(one).collect()
        }
        let Self(numbers) = self;
        let data = match dtype {
            Dtype::Bool => all(numbers, Number::bool).map(TensorData::Bool),
            Dtype::U8 => all(numbers, Number::whole).map(TensorData::U8),
            Dtype::S8 => all(numbers, Number::whole).map(TensorData::S8),
            Dtype::U16 => all(numbers, Number::whole).map(TensorData::U16),
            Dtype::S16 => all(numbers, Number::whole).map(TensorData::S16),
            Dtype::U32 => all(numbers, Number::whole).map(TensorData::U32),
            Dtype::S32 => all(numbers, Number::whole).map(TensorData::S32),
            Dtype::U64 => all(numbers, Number::whole).map(TensorData::U64),
            Dtype::S64 => all(numbers, Number::whole).map(TensorData::S64),
            Dtype::F32 => {
                all(numbers, |number| number.float().map(|value| value as f32)).map(TensorData::F32)
            }
            Dtype::F64 => all(numbers, Number::float).map(TensorData::F64),
            Dtype::F16 | Dtype::Bf16 => {
                return Err("half-precision numbers have no JSON form: send binary data".to_owned());
            }
        };
        data.ok_or_else(|| "a number is not of the datatype".to_owned())
    }
}

/// Returns an upper bound of the bytes that [`write`] writes.
pub(super) fn written_bytes_max(tensor: &Tensor) -> u64 {
    // The longest number of the type with its comma.
    let longest = match tensor.dtype() {
        Dtype::Bool => "false,",
        Dtype::U8 | Dtype::S8 => "-128,",
        Dtype::U16 | Dtype::S16 => "-32768,",
        Dtype::U32 | Dtype::S32 => "-2147483648,",
        Dtype::U64 | Dtype::S64 => "18446744073709551615,",
        Dtype::F32 => "-0.0000123456789,",
        Dtype::F64 => "-2.2250738585072014e-308,",
        Dtype::F16 | Dtype::Bf16 => "",
    };
    (tensor.elements() as u64).saturating_mul(longest.len() as u64).saturating_add(2)
}

/// Writes the elements of a tensor as a flat array. Fails for numbers that JSON does not have.
pub(super) fn write(tensor: &Tensor, out: &mut Vec<u8>) -> Result<(), String> {
    fn array<T: serde::Serialize>(values: &[T], out: &mut Vec<u8>) -> Result<(), String> {
        serde_json::to_writer(out, values).map_err(|error| error.to_string())
    }
    let finite =
        |is: bool| is.then_some(()).ok_or("an output has numbers that are not finite: request binary data");
    match tensor.data() {
        TensorData::Bool(values) => array(&values.iter().map(|value| *value != 0).collect::<Vec<_>>(), out),
        TensorData::U8(values) => array(values, out),
        TensorData::S8(values) => array(values, out),
        TensorData::U16(values) => array(values, out),
        TensorData::S16(values) => array(values, out),
        TensorData::U32(values) => array(values, out),
        TensorData::S32(values) => array(values, out),
        TensorData::U64(values) => array(values, out),
        TensorData::S64(values) => array(values, out),
        TensorData::F32(values) => {
            finite(values.iter().all(|value| value.is_finite()))?;
            array(values, out)
        }
        TensorData::F64(values) => {
            finite(values.iter().all(|value| value.is_finite()))?;
            array(values, out)
        }
        TensorData::F16(_) | TensorData::Bf16(_) => {
            Err("half-precision numbers have no JSON form: request binary data".to_owned())
        }
    }?;
    out.flush().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn elements(json: &str, dtype: Dtype) -> Result<TensorData, String> {
        serde_json::from_str::<Numbers>(json).map_err(|error| error.to_string())?.elements(dtype)
    }

    #[test]
    fn arrays_are_flat_or_nested() {
        for json in ["[1, -2, 3, 4]", "[[1, -2], [3, 4]]", "[[[1], [-2]], [[3], [4]]]"] {
            assert_eq!(elements(json, Dtype::S64), Ok(TensorData::S64(vec![1, -2, 3, 4])), "{json}");
            assert_eq!(elements(json, Dtype::F32), Ok(TensorData::F32(vec![1.0, -2.0, 3.0, 4.0])), "{json}");
        }
        assert_eq!(elements("[true, 0, 1]", Dtype::Bool), Ok(TensorData::Bool(vec![1, 0, 1])));
        assert_eq!(elements("[18446744073709551615]", Dtype::U64), Ok(TensorData::U64(vec![u64::MAX])));
        assert_eq!(elements("[]", Dtype::U8), Ok(TensorData::U8(vec![])));
    }

    #[test]
    fn numbers_of_other_types_are_refused() {
        for (json, dtype) in [
            ("[256]", Dtype::U8),
            ("[-1]", Dtype::U32),
            ("[1.5]", Dtype::S32),
            ("[true]", Dtype::F32),
            ("[2]", Dtype::Bool),
            ("[\"a\"]", Dtype::F32),
            ("[null]", Dtype::F32),
            ("[1]", Dtype::F16),
            ("1", Dtype::F32),
        ] {
            assert!(elements(json, dtype).is_err(), "{json} {dtype:?}");
        }
        let deep = format!("{}1{}", "[".repeat(17), "]".repeat(17));
        assert!(elements(&deep, Dtype::F32).unwrap_err().contains("too deeply"));
    }

    #[test]
    fn no_text_is_longer_than_its_bound() {
        for data in [
            TensorData::Bool(vec![0, 1]),
            TensorData::U8(vec![255, 255]),
            TensorData::S8(vec![i8::MIN; 2]),
            TensorData::U16(vec![u16::MAX; 2]),
            TensorData::S16(vec![i16::MIN; 2]),
            TensorData::U32(vec![u32::MAX; 2]),
            TensorData::S32(vec![i32::MIN; 2]),
            TensorData::U64(vec![u64::MAX; 2]),
            TensorData::S64(vec![i64::MIN; 2]),
            TensorData::F32(vec![f32::MIN, -f32::MIN_POSITIVE]),
            TensorData::F32(vec![-1.000_000_1, -9.999_999e-5]),
            TensorData::F32(vec![-1.234_567_8e10, -1.234_567_9e-5]),
            TensorData::F64(vec![f64::MIN, -f64::MIN_POSITIVE]),
            TensorData::F64(vec![-1.000_000_000_000_000_2, -9.999_999_999_999_999e-5]),
        ] {
            let (tensor, mut out) = (Tensor::new(&[2], data).unwrap(), Vec::new());
            write(&tensor, &mut out).unwrap();
            let text = String::from_utf8(out).unwrap();
            assert!(text.len() as u64 <= written_bytes_max(&tensor), "{text}");
        }
    }

    #[test]
    fn elements_are_written_exactly() {
        let written = |data: TensorData, count: usize| {
            let mut out = Vec::new();
            write(&Tensor::new(&[count], data).unwrap(), &mut out).map(|()| String::from_utf8(out).unwrap())
        };
        assert_eq!(written(TensorData::F32(vec![0.1, -2.0]), 2).as_deref(), Ok("[0.1,-2.0]"));
        assert_eq!(written(TensorData::Bool(vec![1, 0]), 2).as_deref(), Ok("[true,false]"));
        assert_eq!(written(TensorData::S64(vec![i64::MIN]), 1).as_deref(), Ok("[-9223372036854775808]"));
        assert!(written(TensorData::F32(vec![f32::NAN]), 1).unwrap_err().contains("not finite"));
    }
}
