//! NVIDIA devices: their properties for the keys of engines, and their state for the metrics. Uses NVML, which comes
//! with the driver and is loaded at the first use. Without it there is no device.
//!
//! Written against the documentation of NVML and the libraries; not run on a device yet.

use std::collections::BTreeMap;
use std::ffi::c_int;
use std::sync::OnceLock;

use libloading::os::unix::{Library, RTLD_NOW};
use nvml_wrapper::Nvml;
use nvml_wrapper::enum_wrappers::device::{Clock, TemperatureSensor};

use crate::provider::Provider;

/// A device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GpuCard {
    /// Number, from 0.
    pub number: u32,
    /// Product name.
    pub name: String,
    /// Version of the driver.
    pub driver: String,
    /// Compute capability, e.g. (9, 0).
    pub capability: (i32, i32),
    /// Memory of the device.
    pub memory_bytes: u64,
}

impl GpuCard {
    /// Returns the text for the keys of engines, which depend on the architecture and the memory of a device.
    pub fn architecture(&self) -> String {
        let (major, minor) = self.capability;
        format!("sm_{major}{minor} {} {} MiB", self.name, self.memory_bytes >> 20)
    }
}

/// The state of a device at one moment. Values that the device does not report are `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GpuSample {
    /// Number, from 0.
    pub number: u32,
    /// Product name.
    pub name: String,
    /// Share of the time in which it computed, 0 to 1.
    pub busy: Option<f64>,
    /// Memory in use, by all processes.
    pub memory_used_bytes: Option<u64>,
    /// Memory in use by this process.
    pub own_memory_bytes: Option<u64>,
    /// Memory of the device.
    pub memory_bytes: Option<u64>,
    /// Degrees Celsius.
    pub temperature_c: Option<u32>,
    /// Watts.
    pub power_w: Option<f64>,
    /// Megahertz of the multiprocessors.
    pub clock_mhz: Option<u32>,
}

fn nvml() -> Option<&'static Nvml> {
    static NVML: OnceLock<Option<Nvml>> = OnceLock::new();
    NVML.get_or_init(|| Nvml::init().inspect_err(|error| tracing::debug!(%error, "no NVML")).ok()).as_ref()
}

/// Returns the device of that number; `None` where there is no such device, or no driver.
pub fn describe(number: u32) -> Option<GpuCard> {
    let nvml = nvml()?;
    let device = nvml.device_by_index(number).ok()?;
    let capability = device.cuda_compute_capability().ok()?;
    Some(GpuCard {
        number,
        name: device.name().ok()?,
        driver: nvml.sys_driver_version().ok()?,
        capability: (capability.major, capability.minor),
        memory_bytes: device.memory_info().ok()?.total,
    })
}

/// Returns all devices.
pub fn cards() -> Vec<GpuCard> {
    let count = nvml().and_then(|nvml| nvml.device_count().ok()).unwrap_or(0);
    (0..count).filter_map(describe).collect()
}

/// Returns the current state of all devices.
pub fn readings() -> Vec<GpuSample> {
    let Some(nvml) = nvml() else { return Vec::new() };
    let own = std::process::id();
    (0..nvml.device_count().unwrap_or(0))
        .filter_map(|number| {
            let device = nvml.device_by_index(number).ok()?;
            let memory = device.memory_info().ok();
            let processes = device.running_compute_processes().ok();
            let used = |process: &nvml_wrapper::struct_wrappers::device::ProcessInfo| match process
                .used_gpu_memory
            {
                nvml_wrapper::enums::device::UsedGpuMemory::Used(bytes) => bytes,
                nvml_wrapper::enums::device::UsedGpuMemory::Unavailable => 0,
            };
            Some(GpuSample {
                number,
                name: device.name().unwrap_or_default(),
                busy: device.utilization_rates().ok().map(|rates| f64::from(rates.gpu) / 100.0),
                memory_used_bytes: memory.as_ref().map(|memory| memory.used),
                own_memory_bytes: processes.map(|all| all.iter().filter(|p| p.pid == own).map(used).sum()),
                memory_bytes: memory.map(|memory| memory.total),
                temperature_c: device.temperature(TemperatureSensor::Gpu).ok(),
                power_w: device.power_usage().ok().map(|milliwatts| f64::from(milliwatts) / 1e3),
                clock_mhz: device.clock_info(Clock::SM).ok(),
            })
        })
        .collect()
}

/// Returns the versions of the libraries that take part in an engine of that provider, as they report them.
pub fn library_versions(provider: Provider) -> BTreeMap<String, String> {
    let mut versions = BTreeMap::new();
    let mut ask = |name: &str, version: Option<c_int>| {
        versions.insert(name.to_owned(), version.map_or_else(|| "unknown".to_owned(), |v| v.to_string()));
    };
    ask("cuda", cuda_version());
    if let Provider::TensorRt { .. } = provider {
        ask("tensorrt", tensorrt_version());
    }
    versions
}

fn cuda_version() -> Option<c_int> {
    // SAFETY: the preflight has loaded it; its initializers have run.
    let library = unsafe { Library::open(Some("libcudart.so.13"), RTLD_NOW) }.ok()?;
    let mut version = 0;
    // SAFETY: this is the function's type by CUDA's documentation; the output pointer is valid.
    let status = unsafe {
        let ask =
            library.get::<unsafe extern "C" fn(*mut c_int) -> c_int>(b"cudaRuntimeGetVersion\0").ok()?;
        ask(&mut version)
    };
    (status == 0).then_some(version)
}

fn tensorrt_version() -> Option<c_int> {
    // SAFETY: as above.
    let library = unsafe { Library::open(Some("libnvinfer.so.10"), RTLD_NOW) }.ok()?;
    // SAFETY: this is the function's type by TensorRT's documentation.
    unsafe { Some(library.get::<unsafe extern "C" fn() -> c_int>(b"getInferLibVersion\0").ok()?()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_a_device_lists_none_without_an_error() {
        if nvml().is_none() {
            assert_eq!(describe(0), None);
            assert!(readings().is_empty() && cards().is_empty());
        }
        let card = GpuCard {
            number: 0,
            name: "H".to_owned(),
            driver: "580".to_owned(),
            capability: (9, 0),
            memory_bytes: 3 << 20,
        };
        assert_eq!(card.architecture(), "sm_90 H 3 MiB");
    }
}
