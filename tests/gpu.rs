//! The GPU path against the CPU: forward pass and coefficient gradient, toy-sized.
//!
//! Runs only in builds with a GPU feature, and skips with a reason where no such device is found. One test, since
//! kernels are compiled and tuned once per process.
#![cfg(any(feature = "wgpu", feature = "cuda"))]

use fusebench::engine::{DeviceRequest, devices, probe};

#[test]
fn gpus_agree_with_the_cpu() {
    let mut tried = 0;
    for device in devices().iter().filter(|device| device.id != "cpu") {
        if let Some(reason) = &device.reason {
            println!("skipped {}: {reason}", device.id);
            continue;
        }
        let report = probe(device.id.parse::<DeviceRequest>().unwrap(), false).unwrap();
        println!("{report:?}");
        assert!(report.trusted, "{report:?}");
        tried += 1;
    }
    if tried == 0 {
        println!("skipped: no GPU and no software Vulkan driver on this machine");
    }
}
