//! What a lane knows of an engine. ONNX Runtime sessions implement it ([`crate::session`]); tests, and later other
//! runtimes and simulated accelerators, implement it too.

use lector_core::Tensor;

/// A model on a device, owned by one thread and run by it alone.
pub(crate) trait Engine: Send {
    /// Runs the model over checked inputs and gives the named outputs in that order. The error is the cause, for the
    /// log; it concerns this run alone.
    fn run(&mut self, inputs: &[(String, Tensor)], outputs: &[String]) -> Result<Vec<Tensor>, String>;
}
