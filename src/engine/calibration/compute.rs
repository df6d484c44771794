//! Carrying out pieces of work on a device.

use super::Source;
use super::mixed;
use super::source::input;
use super::tracked::Tracked;
use super::work::{Answer, Batch, Products, Subject, Wanted, Work};
use crate::engine::EngineError;
use crate::engine::device::OpenDevice;
use crate::engine::lanes::Lanes;
use crate::fusion::{Body, Mixture};
use crate::models::clip_vit::{ClipVit, HostMixture, MixedClipVit};
use crate::weights::StateDict;
use burn::tensor::{Device, Tensor, TensorData};
use std::sync::Arc;

/// Networks kept from one piece of work to the next, with the weights that they hold.
#[derive(Default)]
pub struct Computer {
    plain: Option<Network>,
    /// On the device's autodiff side.
    tracked: Option<Network>,
    /// Experts and all, on the side that was asked for last.
    mixed: Option<(Arc<Body>, Device, MixedClipVit)>,
}

struct Network {
    model: ClipVit,
    weights: Arc<StateDict>,
}

impl Computer {
    /// One answer a batch, in their order.
    ///
    /// # Errors
    /// Weights that do not fit, data that cannot be read, a device that fails, cancellation.
    pub fn compute(
        &mut self,
        source: &dyn Source,
        device: &OpenDevice,
        lanes: &Lanes,
        work: &Work,
    ) -> Result<Vec<Answer>, EngineError> {
        work.cancel.check()?;
        let (weights, wanted) = match &work.subject {
            Subject::Model { weights, wanted } => (weights, *wanted),
            Subject::Mixture { mixture, slopes } => return self.route(source, device, lanes, work, (mixture, *slopes)),
        };
        let each = |answer: &(dyn Fn(&Batch) -> Result<Answer, EngineError> + Sync)| {
            let answer = |batch: &Batch| work.cancel.check().map_err(EngineError::from).and_then(|()| answer(batch));
            lanes.map(&work.batches, device.is_gpu, answer).into_iter().collect()
        };
        match wanted {
            Wanted::Products { block } => {
                let model = hold(&mut self.plain, source, &device.tensor, weights)?;
                each(&|batch| products(model, pixels(source, batch, &device.tensor)?, block).map(Answer::Products))
            }
            Wanted::Features => {
                let model = hold(&mut self.plain, source, &device.tensor, weights)?;
                each(&|batch| {
                    let features = model.features(pixels(source, batch, &device.tensor)?);
                    Ok(Answer::Features { width: features.dims()[1], values: values(features)? })
                })
            }
            Wanted::Slope(of) if device.is_gpu => {
                let model = hold(&mut self.tracked, source, &device.tensor.clone().autodiff(), weights)?;
                each(&|batch| Tracked::on_device(model, source, batch, &work.cancel)?.answer(of))
            }
            Wanted::Slope(of) => {
                each(&|batch| Tracked::on_host((weights, &work.spare), source, batch, &work.cancel)?.answer(of))
            }
        }
    }

    fn route(
        &mut self,
        source: &dyn Source,
        device: &OpenDevice,
        lanes: &Lanes,
        work: &Work,
        (mixture, slopes): (&Mixture, bool),
    ) -> Result<Vec<Answer>, EngineError> {
        if !device.is_gpu {
            let tower = HostMixture::new(source.config(), mixture)?;
            if tower.has_way_back() || !slopes {
                let answer = |batch: &Batch| -> Result<Answer, EngineError> {
                    work.cancel.check()?;
                    mixed::routed_on_host(&tower, source, batch, slopes, &work.cancel).map(Answer::Routed)
                };
                return lanes.map(&work.batches, false, answer).into_iter().collect();
            }
        }
        let side = if slopes { device.tensor.clone().autodiff() } else { device.tensor.clone() };
        let held = match self.mixed.take() {
            Some(held) if Arc::ptr_eq(&held.0, &mixture.body) && held.1 == side => held,
            _ => (Arc::clone(&mixture.body), side.clone(), MixedClipVit::new(source.config(), mixture, &side)?),
        };
        let tower = &self.mixed.insert(held).2;
        let answer = |batch: &Batch| -> Result<Answer, EngineError> {
            work.cancel.check()?;
            // Leaves of its own: backward passes over shared ones wait for each other for ever.
            let tower = tower.with_routers(&mixture.routers);
            let pixels = pixels(source, batch, &side)?;
            let head = if slopes { Some(source.head(&batch.task)?) } else { None };
            mixed::routed(&tower, pixels, head).map(Answer::Routed)
        };
        lanes.map(&work.batches, device.is_gpu, answer).into_iter().collect()
    }
}

/// The network with these weights.
fn hold<'a>(
    slot: &'a mut Option<Network>,
    source: &dyn Source,
    device: &Device,
    weights: &Arc<StateDict>,
) -> Result<&'a ClipVit, EngineError> {
    let mut model = match slot.take() {
        Some(network) if Arc::ptr_eq(&network.weights, weights) => return Ok(&slot.insert(network).model),
        Some(network) => network.model,
        None => ClipVit::new(source.config(), device)?,
    };
    model.load(weights)?;
    Ok(&slot.insert(Network { model, weights: Arc::clone(weights) }).model)
}

/// A batch's images on a device, `[n, channels, side, side]`.
pub(super) fn pixels(source: &dyn Source, batch: &Batch, device: &Device) -> Result<Tensor<4>, EngineError> {
    let values = source.pixels(&batch.task, batch.shown, &batch.indices)?;
    let input = input(source);
    Ok(Tensor::from_data(
        TensorData::new(values, [batch.indices.len(), input.channels, input.side, input.side]),
        device,
    ))
}

fn products(model: &ClipVit, pixels: Tensor<4>, block: Option<usize>) -> Result<Vec<Products>, EngineError> {
    let mut found = Vec::new();
    let blocks = model.config().num_hidden_layers;
    model.watch(pixels, block.unwrap_or(blocks), |of, inputs| {
        if block.is_some_and(|block| of.block().unwrap_or(blocks) != block) {
            return;
        }
        let [n, tokens, size] = inputs.dims();
        let rows = inputs.clone().reshape([n * tokens, size]);
        found.push((of, n * tokens, size, rows.clone().transpose().matmul(rows)));
    });
    let read =
        |(of, rows, size, product): (_, _, _, Tensor<2>)| Ok(Products { of, rows, size, values: values(product)? });
    found.into_iter().map(read).collect()
}

/// The one number of a tensor.
pub(super) fn number(tensor: Tensor<1>) -> Result<f64, EngineError> {
    Ok(values(tensor)?.first().copied().map_or(f64::NAN, f64::from))
}

/// A tensor's values.
pub(super) fn values<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f32>, EngineError> {
    let data = tensor.try_into_data().map_err(|error| EngineError::Device(format!("{error:?}")))?;
    data.try_into_vec::<f32>().map_err(|error| EngineError::Device(format!("{error:?}")))
}
