//! The protocol's names: of element types, of a model's version, of the header of binary tensors.

use lector_core::Dtype;

/// The only version of a model.
pub(super) const VERSION: &str = "1";
/// Header with the length of the JSON before the binary tensors.
pub(super) const JSON_LENGTH: &str = "inference-header-content-length";

/// Names in the protocol.
const NAMES: [(Dtype, &str); 13] = [
    (Dtype::Bool, "BOOL"),
    (Dtype::U8, "UINT8"),
    (Dtype::S8, "INT8"),
    (Dtype::U16, "UINT16"),
    (Dtype::S16, "INT16"),
    (Dtype::U32, "UINT32"),
    (Dtype::S32, "INT32"),
    (Dtype::U64, "UINT64"),
    (Dtype::S64, "INT64"),
    (Dtype::F16, "FP16"),
    (Dtype::Bf16, "BF16"),
    (Dtype::F32, "FP32"),
    (Dtype::F64, "FP64"),
];

/// Returns the name of an element type.
pub(super) fn name(dtype: Dtype) -> &'static str {
    NAMES.iter().find(|(known, _)| *known == dtype).map_or("", |(_, name)| name)
}

/// Returns the element type of a name; `None` for `BYTES` and unknown ones.
pub(super) fn parse(name: &str) -> Option<Dtype> {
    NAMES.iter().find(|(_, known)| *known == name).map(|(dtype, _)| *dtype)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn every_type_has_a_name() {
        for &dtype in Dtype::ALL {
            assert_eq!(parse(name(dtype)), Some(dtype), "{dtype:?}");
        }
        assert_eq!(parse("BYTES"), None);
    }
}
