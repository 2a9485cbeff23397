//! Selection of the host: inside a component the handles are the resources of the contract, in native builds those of
//! the fake host. Both modules offer the same names and signatures, so the typed wrappers of the SDK work with either.

#[cfg(target_family = "wasm")]
mod component;
#[cfg(target_family = "wasm")]
pub(crate) use component::*;

#[cfg(not(target_family = "wasm"))]
pub(crate) use crate::fake::handles::*;
