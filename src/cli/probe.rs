//! `fusebench probe DEVICE`: the engine starts this as a child process before it trusts a GPU. Answers in JSON.

use super::error::CliError;
use super::output;
use crate::engine::{DeviceRequest, EngineError, probe};
use serde_json::json;
use std::process::ExitCode;

pub fn run(target: DeviceRequest, hardware: bool) -> Result<ExitCode, CliError> {
    match probe(target, hardware) {
        Ok(report) => {
            output::json_line(&report)?;
            Ok(if report.trusted { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Err(error) => {
            // Who has asked knows the device.
            let reason =
                if let EngineError::DeviceUnavailable { reason, .. } = error { reason } else { error.to_string() };
            output::json_line(&json!({ "error": reason }))?;
            Ok(ExitCode::FAILURE)
        }
    }
}
