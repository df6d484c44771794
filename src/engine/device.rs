//! Which device does the work: what was asked for, what there is, and why something is not there.

use super::EngineError;
use burn::tensor::Device;
use serde::Serialize;
use std::fmt;
use std::str::FromStr;

/// What a person asked for with `--device`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceRequest {
    /// The best GPU that proves itself, else the CPU.
    #[default]
    Auto,
    Cpu,
    /// A GPU through wgpu, by its place in the list.
    Vulkan(usize),
    /// An NVIDIA GPU, by its place in the list.
    Cuda(usize),
}

impl FromStr for DeviceRequest {
    type Err = EngineError;

    fn from_str(text: &str) -> Result<Self, EngineError> {
        let unknown = || EngineError::UnknownDevice { name: text.to_owned() };
        let (kind, index) = match text.split_once(':') {
            Some((kind, index)) => (kind, Some(index.parse::<usize>().map_err(|_| unknown())?)),
            None => (text, None),
        };
        match (kind, index) {
            ("auto", None) => Ok(Self::Auto),
            ("cpu", None) => Ok(Self::Cpu),
            ("vulkan" | "wgpu", index) => Ok(Self::Vulkan(index.unwrap_or(0))),
            ("cuda", index) => Ok(Self::Cuda(index.unwrap_or(0))),
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for DeviceRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Cpu => f.write_str("cpu"),
            Self::Vulkan(index) => write!(f, "vulkan:{index}"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

/// A device that work can be given to.
#[derive(Debug, Clone)]
pub(super) struct OpenDevice {
    /// As shown to people: `cpu (2 threads)`, `cuda:0`.
    pub name: String,
    pub tensor: Device,
    /// GPUs want large batches of one shape; the CPU wants one small batch a core.
    pub is_gpu: bool,
    /// A graphics driver that computes on the CPU.
    pub is_software: bool,
}

impl OpenDevice {
    pub fn cpu() -> Self {
        let threads = super::lanes::cpu_threads();
        let plural = if threads == 1 { "" } else { "s" };
        Self {
            name: format!("cpu ({threads} thread{plural})"),
            tensor: Device::flex(),
            is_gpu: false,
            is_software: false,
        }
    }

    /// Opens a GPU without proving it; only for the probe's child process and for devices it has proved.
    pub fn gpu(request: DeviceRequest) -> Result<Self, EngineError> {
        let unavailable =
            |reason: &str| EngineError::DeviceUnavailable { device: request.to_string(), reason: reason.to_owned() };
        let found = match request {
            DeviceRequest::Cuda(_) => cuda_devices(),
            DeviceRequest::Vulkan(_) => vulkan_devices(),
            DeviceRequest::Auto | DeviceRequest::Cpu => return Ok(Self::cpu()),
        };
        let (DeviceRequest::Cuda(index) | DeviceRequest::Vulkan(index)) = request else { return Ok(Self::cpu()) };
        let devices = found.map_err(unavailable)?;
        let count = devices.len();
        let tensor = devices.into_iter().nth(index).ok_or_else(|| match count {
            0 => unavailable("no such device on this machine"),
            n => unavailable(&format!("there are only {n}, counted from 0")),
        })?;
        let is_software = is_software(&tensor);
        Ok(Self { name: request.to_string(), tensor, is_gpu: true, is_software })
    }
}

#[cfg(feature = "cuda")]
fn cuda_devices() -> Result<Vec<Device>, &'static str> {
    Ok(Device::enumerate(burn::tensor::DeviceType::Cuda).into_vec())
}

#[cfg(not(feature = "cuda"))]
fn cuda_devices() -> Result<Vec<Device>, &'static str> {
    Err("this binary was built without CUDA; build with `--features cuda`")
}

/// Drivers that compute on the CPU come last, in whichever order drivers are found.
#[cfg(feature = "wgpu")]
fn vulkan_devices() -> Result<Vec<Device>, &'static str> {
    #[cfg(feature = "vulkan")]
    let kind = burn::tensor::DeviceType::Vulkan;
    #[cfg(not(feature = "vulkan"))]
    let kind = burn::tensor::DeviceType::Wgpu;
    let mut devices = Device::enumerate(kind).into_vec();
    devices.sort_by_key(is_software);
    Ok(devices)
}

#[cfg(not(feature = "wgpu"))]
fn vulkan_devices() -> Result<Vec<Device>, &'static str> {
    Err("this binary was built without wgpu; build with `--features wgpu`")
}

/// Whether a device that [`vulkan_devices`] lists is a driver that computes on the CPU.
#[cfg(feature = "vulkan")]
fn is_software(device: &Device) -> bool {
    *device == Device::vulkan(burn::tensor::DeviceKind::Cpu)
}

#[cfg(all(feature = "wgpu", not(feature = "vulkan")))]
fn is_software(device: &Device) -> bool {
    *device == Device::wgpu(burn::tensor::DeviceKind::Cpu)
}

#[cfg(not(feature = "wgpu"))]
fn is_software(_: &Device) -> bool {
    false
}

/// One line of `fusebench doctor`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeviceInfo {
    /// What to give to `--device`.
    pub id: String,
    pub name: String,
    pub available: bool,
    /// Why it is not available.
    pub reason: Option<String>,
}

/// The CPU and every GPU that can be listed. Listing opens drivers, so call it in a process that may crash.
#[must_use]
pub fn devices() -> Vec<DeviceInfo> {
    let mut all = vec![DeviceInfo { id: "cpu".into(), name: OpenDevice::cpu().name, available: true, reason: None }];
    for (kind, found) in [("cuda", cuda_devices()), ("vulkan", vulkan_devices())] {
        match found {
            Ok(found) if found.is_empty() => all.push(missing(kind, "no device or no driver found")),
            Ok(found) => all.extend(found.iter().enumerate().map(|(index, device)| {
                let id = format!("{kind}:{index}");
                let name = if is_software(device) { format!("{id} (a software driver)") } else { id.clone() };
                DeviceInfo { id, name, available: true, reason: None }
            })),
            Err(reason) => all.push(missing(kind, reason)),
        }
    }
    all
}

fn missing(kind: &str, reason: &str) -> DeviceInfo {
    DeviceInfo { id: kind.to_owned(), name: kind.to_owned(), available: false, reason: Some(reason.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_read_as_people_write_them() {
        for (text, request) in [
            ("auto", DeviceRequest::Auto),
            ("cpu", DeviceRequest::Cpu),
            ("vulkan", DeviceRequest::Vulkan(0)),
            ("cuda:3", DeviceRequest::Cuda(3)),
        ] {
            assert_eq!(text.parse::<DeviceRequest>().unwrap(), request);
        }
        for text in ["gpu", "cpu:1", "cuda:", "cuda:x", ""] {
            assert!(text.parse::<DeviceRequest>().unwrap_err().to_string().contains("unknown device"), "{text}");
        }
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_missing_backend_says_how_to_get_it() {
        let error = OpenDevice::gpu(DeviceRequest::Cuda(0)).unwrap_err().to_string();
        assert_eq!(error, "cuda:0 cannot be used: this binary was built without CUDA; build with `--features cuda`");
    }
}
