//! A test program that builds engines: it is its own builder, and links both runtimes.

use std::ffi::OsString;

use lector_inference::{InferenceConfig, PreferredProvider};

use super::places::{Places, cpu_features, missing, places};

const BUILDER: &str = "LECTOR_TEST_BUILDER";

/// Not a test: the builder process, when another test starts this program as one.
#[test]
fn builder_process() {
    if std::env::var_os(BUILDER).is_some() {
        let _ = lector_inference::builder_main();
        std::process::exit(0);
    }
}

pub fn builder_command() -> Vec<OsString> {
    let own = std::env::current_exe().unwrap().into_os_string();
    let words = ["--exact", "building::builder_process", "--nocapture"].map(OsString::from);
    [OsString::from("/usr/bin/env"), format!("{BUILDER}=1").into(), own].into_iter().chain(words).collect()
}

/// Returns a configuration with that provider preference list, without a cache folder; `None`, with a message, where
/// something is missing.
pub fn config(models: &[&str], preference: &[&str]) -> Option<InferenceConfig> {
    let Places { library, openvino_dir, models_dir } = places();
    let weights = models.iter().map(|model| models_dir.join(model).join("model.onnx"));
    let needed = [library.clone(), openvino_dir.join("libopenvino_c.so.2641")];
    if let Some(file) = needed.into_iter().chain(weights).find(|path| !path.is_file()) {
        missing(format_args!("{} is", file.display()));
        return None;
    }
    let mut config = InferenceConfig::new(library, models_dir, 2);
    config.openvino_dir = openvino_dir;
    config.cpu_features = cpu_features();
    config.builder_command = builder_command();
    config.providers = preference.iter().map(|word| word.parse::<PreferredProvider>().unwrap()).collect();
    Some(config)
}
