//! The one place where the two hosts part: inside a component the handles are the contract's resources, in
//! native builds they are those of the fake host. Both modules offer the same names and signatures; the
//! typed wrappers of the SDK are written against them and know no difference.

#[cfg(target_family = "wasm")]
mod component;
#[cfg(target_family = "wasm")]
pub(crate) use component::*;

#[cfg(not(target_family = "wasm"))]
pub(crate) use crate::fake::handles::*;
