//! The bounds of schemas and of options. Each bounds the work of a check.

/// Largest schema, as JSON text, in bytes.
pub const SCHEMA_BYTES_MAX: usize = 64 << 10;
/// Deepest nesting of a schema, in arrays and objects. Recursion over a schema ends there.
pub const SCHEMA_DEPTH_MAX: usize = 32;
/// Most values of one `enum`: each value of an array is compared with each of them.
pub const ENUM_VALUES_MAX: usize = 512;
/// Largest options of a client, as JSON text, in bytes.
pub const OPTIONS_BYTES_MAX: usize = 16 << 10;
/// Deepest nesting of options.
pub const OPTIONS_DEPTH_MAX: usize = 32;
/// Most bytes that defaults add to options: a default may apply to every value of an array.
pub const FILLED_BYTES_MAX: usize = 64 << 10;
