//! Proving a GPU before it is trusted: a numerics self-test in a child process.
//!
//! A driver can crash while it compiles a pipeline, and nothing in the same process survives that; a wrong kernel
//! would be worse, since its numbers look like numbers. So the child runs a small network forward and the gradient of
//! merging coefficients, on the GPU and on the CPU, and reports how far they are apart.

use super::device::{DeviceRequest, OpenDevice};
use super::{EngineError, self_test};
use crate::store::Paths;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What the self-test found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProbeReport {
    pub device: String,
    /// Largest difference to the CPU, relative to the largest value: of features, and of coefficient gradients.
    pub forward_error: f64,
    pub gradient_error: f64,
    pub seconds: f64,
    /// Whether both errors are small enough.
    pub trusted: bool,
    /// A driver that computes on the CPU.
    pub software: bool,
}

/// Larger relative errors than this are wrong numbers, not rounding.
const TOLERANCE: f64 = 1e-3;
/// Kernels are compiled and tuned at first use, which takes software drivers a minute or two.
const PATIENCE: Duration = Duration::from_mins(4);

/// GPUs worth trying, the best first.
pub(super) fn candidates() -> Vec<DeviceRequest> {
    let mut gpus = Vec::new();
    if cfg!(feature = "cuda") {
        gpus.push(DeviceRequest::Cuda(0));
    }
    if cfg!(feature = "wgpu") {
        gpus.push(DeviceRequest::Vulkan(0));
    }
    gpus
}

/// Runs the self-test in this process: what the hidden `fusebench probe DEVICE` does.
///
/// # Errors
/// When the device is not there, fails while it computes, or is a software driver where `hardware` is wanted.
pub fn probe(request: DeviceRequest, hardware: bool) -> Result<ProbeReport, EngineError> {
    let device = OpenDevice::gpu(request)?;
    if hardware && device.is_software {
        let reason = format!("it is a software driver, slower than the CPU; --device {request} takes it all the same");
        return Err(EngineError::DeviceUnavailable { device: request.to_string(), reason });
    }
    let started = Instant::now();
    let expected = self_test::run(&OpenDevice::cpu().tensor)?;
    let got = self_test::run(&device.tensor)?;
    let forward_error = relative_error(&got.features, &expected.features);
    let gradient_error = relative_error(&got.gradient, &expected.gradient);
    Ok(ProbeReport {
        device: request.to_string(),
        forward_error,
        gradient_error,
        seconds: started.elapsed().as_secs_f64(),
        trusted: forward_error <= TOLERANCE && gradient_error <= TOLERANCE,
        software: device.is_software,
    })
}

/// max |got − expected| / max |expected|; infinite where something is not finite.
fn relative_error(got: &[f32], expected: &[f32]) -> f64 {
    let scale = expected.iter().fold(f32::MIN_POSITIVE, |max, x| max.max(x.abs()));
    let far = got.iter().zip(expected).map(|(g, e)| if g.is_finite() { (g - e).abs() } else { f32::INFINITY });
    f64::from(far.fold(0.0, f32::max) / scale)
}

/// Proves a GPU in a child process, or remembers that this driver and version have been proved before; with `hardware`, drivers
/// that compute on the CPU are refused.
///
/// # Errors
/// Why the device cannot be used.
pub(super) fn prove(request: DeviceRequest, hardware: bool) -> Result<(), EngineError> {
    let unavailable = |reason: String| EngineError::DeviceUnavailable { device: request.to_string(), reason };
    // What this build cannot do at all needs no child process.
    if !candidates().iter().any(|gpu| std::mem::discriminant(gpu) == std::mem::discriminant(&request)) {
        return OpenDevice::gpu(request).map(drop);
    }
    let memory = Memory::open(request);
    if memory.as_ref().is_some_and(|memory| memory.is_proved(hardware)) {
        return Ok(());
    }
    let report = ask_child(request, hardware).map_err(unavailable)?;
    if !report.trusted {
        return Err(unavailable(format!(
            "its numbers are wrong (relative error {:.1e} forward, {:.1e} gradient)",
            report.forward_error, report.gradient_error
        )));
    }
    if let Some(memory) = memory {
        memory.remember(report);
    }
    Ok(())
}

fn ask_child(request: DeviceRequest, hardware: bool) -> Result<ProbeReport, String> {
    let program = std::env::current_exe().map_err(|error| format!("cannot find this program: {error}"))?;
    let mut child = Command::new(program)
        .args(["probe", &request.to_string()])
        .args(hardware.then_some("--hardware"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("cannot start the probe: {error}"))?;
    let status = wait(&mut child)?;
    let mut answer = String::new();
    if let Some(mut stdout) = child.stdout.take() {
        let _ = stdout.read_to_string(&mut answer);
    }
    if let Ok(report) = serde_json::from_str(&answer) {
        return Ok(report);
    }
    if let Ok(refusal) = serde_json::from_str::<BTreeMap<String, String>>(&answer)
        && let Some(error) = refusal.get("error")
    {
        return Err(error.clone());
    }
    Err(format!("the self-test ended without an answer ({status}): its driver crashed"))
}

fn wait(child: &mut Child) -> Result<std::process::ExitStatus, String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(20)),
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(format!("the self-test did not end within {} s", PATIENCE.as_secs()));
            }
            Err(error) => return Err(format!("cannot wait for the probe: {error}")),
        }
    }
}

/// Devices that have been proved, in a file beside the history. Only successes are kept: a failure may be mended.
struct Memory {
    path: PathBuf,
    key: String,
}

impl Memory {
    fn open(request: DeviceRequest) -> Option<Self> {
        let path = Paths::find().ok()?.data.join("proved-devices.json");
        Some(Self { path, key: format!("{request} fusebench {} {}", env!("CARGO_PKG_VERSION"), driver_version()) })
    }

    fn read(&self) -> BTreeMap<String, ProbeReport> {
        std::fs::read(&self.path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    fn is_proved(&self, hardware: bool) -> bool {
        self.read().get(&self.key).is_some_and(|report| report.trusted && !(hardware && report.software))
    }

    /// Not being able to remember costs the next start a probe, nothing more.
    fn remember(&self, report: ProbeReport) {
        let mut all = self.read();
        all.insert(self.key.clone(), report);
        if let Ok(bytes) = serde_json::to_vec_pretty(&all) {
            let _ = crate::files::write_bytes(&self.path, &bytes);
        }
    }
}

/// What can be known of the installed drivers without loading them.
fn driver_version() -> String {
    let nvidia = std::fs::read_to_string("/proc/driver/nvidia/version").unwrap_or_default();
    let mut parts = vec![nvidia.lines().next().unwrap_or_default().to_owned()];
    for folder in ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d"] {
        for entry in std::fs::read_dir(Path::new(folder)).into_iter().flatten().flatten() {
            let changed = entry.metadata().and_then(|meta| meta.modified()).ok();
            let seconds = changed.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok()).map(|d| d.as_secs());
            parts.push(format!("{}@{}", entry.file_name().to_string_lossy(), seconds.unwrap_or(0)));
        }
    }
    parts.sort();
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_relative_and_nan_is_infinitely_wrong() {
        assert!((relative_error(&[2.0, 4.4], &[2.0, 4.0]) - 0.1).abs() < 1e-6);
        assert_eq!(relative_error(&[f32::NAN], &[1.0]), f64::INFINITY);
    }

    #[test]
    fn what_was_proved_by_name_is_not_taken_unasked_if_it_is_software() {
        let folder = tempfile::tempdir().unwrap();
        let memory = Memory { path: folder.path().join("proved.json"), key: "vulkan:0".to_owned() };
        assert!(!memory.is_proved(false));
        let report = probe(DeviceRequest::Cpu, false).unwrap();
        memory.remember(ProbeReport { software: true, ..report.clone() });
        assert!(memory.is_proved(false) && !memory.is_proved(true));
        memory.remember(report);
        assert!(memory.is_proved(true));
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn what_was_not_built_is_refused_without_a_child() {
        let error = prove(DeviceRequest::Cuda(0), false).unwrap_err().to_string();
        assert!(error.contains("built without CUDA"), "{error}");
    }

    #[test]
    fn the_cpu_agrees_with_itself() {
        let report = probe(DeviceRequest::Cpu, true).unwrap();
        assert_eq!((report.forward_error, report.gradient_error, report.trusted), (0.0, 0.0, true));
    }
}
