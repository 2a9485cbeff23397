//! The smoke-test page: a small image of one word, which the deploy pipeline and the readiness check read.

/// The word [`SMOKE_TEST_WORD`], in black on white, as PNG.
pub const SMOKE_TEST_PNG: &[u8] = include_bytes!("../assets/golden.png");
/// The word that a pipeline finds on the page.
pub const SMOKE_TEST_WORD: &str = "lector";
