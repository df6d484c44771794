//! Corrupted images, as robustness is measured: seven kinds in five severities, after Hendrycks and Dietterich 2019
//! (arXiv:1903.12261), with their constants for small images (CIFAR-10-C).
//!
//! Every image is corrupted by itself, from a seed that depends on nothing but kind, task, split and the image's place: not
//! on batches, threads or what was looked at before.

mod blur;
mod contrast;
mod jpeg;
mod noise;
mod pixelate;
mod spatter;

use super::{Images, Split};
use crate::fusion::seeded;
use crate::params::closest;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// What is done to an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    MotionBlur,
    ImpulseNoise,
    GaussianNoise,
    Pixelate,
    Spatter,
    Contrast,
    Jpeg,
}

impl Kind {
    /// In the order of FusionBench's tables.
    pub const ALL: [Self; 7] = [
        Self::MotionBlur,
        Self::ImpulseNoise,
        Self::GaussianNoise,
        Self::Pixelate,
        Self::Spatter,
        Self::Contrast,
        Self::Jpeg,
    ];

    /// FusionBench's name, which it gives to splits.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::MotionBlur => "motion_blur",
            Self::ImpulseNoise => "impulse_noise",
            Self::GaussianNoise => "gaussian_noise",
            Self::Pixelate => "pixelate",
            Self::Spatter => "spatter",
            Self::Contrast => "contrast",
            Self::Jpeg => "jpeg_compression",
        }
    }
}

/// A kind and how strong it is, 1 to 5; written `gaussian_noise:3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Corruption {
    kind: Kind,
    severity: u8,
}

/// The severity where none is given: the middle one.
pub const USUAL: u8 = 3;
/// The highest severity.
pub const MOST: u8 = 5;

/// Text that names no corruption.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is no corruption: {wanted}")]
pub struct CorruptionError {
    text: String,
    wanted: String,
}

impl Corruption {
    /// Nothing for a severity that is not 1 to 5.
    #[must_use]
    pub fn new(kind: Kind, severity: u8) -> Option<Self> {
        (1..=MOST).contains(&severity).then_some(Self { kind, severity })
    }

    /// What a text names: `gaussian_noise:3`, or `all` and `all:5` for every kind.
    ///
    /// # Errors
    /// Another text.
    pub fn named(text: &str) -> Result<Vec<Self>, CorruptionError> {
        let (name, severity) = text.split_once(':').map_or((text, ""), |(name, _)| (name, &text[name.len()..]));
        match name.trim() {
            "all" => Kind::ALL.iter().map(|kind| format!("{}{severity}", kind.id()).parse()).collect(),
            _ => Ok(vec![text.parse()?]),
        }
    }

    #[must_use]
    pub fn kind(self) -> Kind {
        self.kind
    }

    #[must_use]
    pub fn severity(self) -> u8 {
        self.severity
    }

    /// For people: `gaussian noise 3`.
    #[must_use]
    pub fn title(self) -> String {
        format!("{} {}", self.kind.id().replace('_', " "), self.severity)
    }

    /// The images at `indices`, corrupted, in that order.
    #[must_use]
    pub fn apply(self, images: &Images, indices: &[usize], task: &str, split: Split) -> Images {
        let &Images { height, width, channels, .. } = images;
        let mut pixels = Vec::with_capacity(indices.len() * height * width * channels);
        for &at in indices {
            let name = split.to_string();
            let parts = [self.kind.id().as_bytes(), task.as_bytes(), name.as_bytes(), &(at as u64).to_le_bytes()];
            let mut random = seeded::stream("corrupt", 0, &parts);
            let mut picture = Picture::of(images.image(at), height, width, channels);
            let level = usize::from(self.severity) - 1;
            match self.kind {
                Kind::MotionBlur => blur::motion(&mut picture, level, &mut random),
                Kind::ImpulseNoise => noise::impulse(&mut picture, level, &mut random),
                Kind::GaussianNoise => noise::gaussian(&mut picture, level, &mut random),
                Kind::Pixelate => pixelate::pixelate(&mut picture, level),
                Kind::Spatter => spatter::spatter(&mut picture, level, &mut random),
                Kind::Contrast => contrast::contrast(&mut picture, level),
                Kind::Jpeg => jpeg::compress(&mut picture, level),
            }
            pixels.extend(picture.bytes());
        }
        let labels = indices.iter().map(|&at| images.labels[at]).collect();
        Images { height, width, channels, pixels, labels }
    }
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind.id(), self.severity)
    }
}

impl FromStr for Corruption {
    type Err = CorruptionError;

    fn from_str(text: &str) -> Result<Self, CorruptionError> {
        let wrong = |wanted: String| CorruptionError { text: text.chars().take(60).collect(), wanted };
        let (name, severity) = match text.split_once(':') {
            Some((name, severity)) => (name, severity.trim().parse().ok()),
            None => (text, Some(USUAL)),
        };
        let ids = || Kind::ALL.iter().map(|kind| kind.id());
        let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.id() == name.trim()) else {
            return Err(wrong(closest(name.trim(), ids()).map_or_else(
                || format!("there are {}", ids().collect::<Vec<_>>().join(", ")),
                |known| format!("did you mean `{known}`?"),
            )));
        };
        let known = severity.and_then(|severity| Self::new(kind, severity));
        known.ok_or_else(|| wrong(format!("severities are 1 to {MOST}, as in {}:{USUAL}", kind.id())))
    }
}

impl TryFrom<String> for Corruption {
    type Error = CorruptionError;

    fn try_from(text: String) -> Result<Self, CorruptionError> {
        text.parse()
    }
}

impl From<Corruption> for String {
    fn from(corruption: Corruption) -> Self {
        corruption.to_string()
    }
}

/// One image in numbers from 0 to 1, `[channel][height · width]`.
#[derive(Debug, Clone, PartialEq)]
struct Picture {
    height: usize,
    width: usize,
    planes: Vec<Vec<f32>>,
}

impl Picture {
    fn of(bytes: &[u8], height: usize, width: usize, channels: usize) -> Self {
        let plane = |channel: usize| {
            bytes.iter().skip(channel).step_by(channels).map(|&byte| f32::from(byte) / 255.0).collect()
        };
        Self { height, width, planes: (0..channels).map(plane).collect() }
    }

    /// `[height, width, channels]`, what lies outside of 0 to 1 cut off.
    fn bytes(&self) -> Vec<u8> {
        let pixel = |at: usize| self.planes.iter().map(move |plane| (plane[at].clamp(0.0, 1.0) * 255.0).round() as u8);
        (0..self.height * self.width).flat_map(pixel).collect()
    }

    fn each(&mut self, change: impl FnMut(&mut f32)) {
        self.planes.iter_mut().flatten().for_each(change);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A gradient with an edge, and a picture of noise; gray or in colours.
    fn images(channels: usize) -> Images {
        let side = 28;
        let first = (0..side * side * channels).map(|at| {
            let (row, column) = (at / channels / side, at / channels % side);
            if column > side / 2 { 230 } else { (row * 6 + at % channels * 20) as u8 }
        });
        let second = (0..side * side * channels).map(|at| (at * 7919 % 251) as u8);
        Images { height: side, width: side, channels, pixels: first.chain(second).collect(), labels: vec![3, 4] }
    }

    fn distance(a: &[u8], b: &[u8]) -> f64 {
        a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum::<f64>() / a.len() as f64
    }

    #[test]
    fn every_kind_is_stronger_with_severity_and_the_same_every_time() {
        for channels in [1, 3] {
            let images = images(channels);
            for kind in Kind::ALL {
                let at =
                    |severity| Corruption::new(kind, severity).unwrap().apply(&images, &[0, 1], "mnist", Split::Test);
                let error = |severity| distance(&at(severity).pixels, &images.pixels);
                assert!(error(1) > 0.0, "{kind:?}");
                assert!(error(5) > 1.2 * error(1), "{kind:?}: {} {}", error(1), error(5));
                let once = at(4);
                assert_eq!(once, at(4), "{kind:?}");
                assert_eq!((once.labels.clone(), once.pixels.len()), (vec![3, 4], images.pixels.len()));
                // Neither neighbours nor their order make a difference.
                let swapped = Corruption::new(kind, 4).unwrap().apply(&images, &[1, 0], "mnist", Split::Test);
                assert_eq!((swapped.image(0), swapped.image(1)), (once.image(1), once.image(0)), "{kind:?}");
            }
        }
    }

    #[test]
    fn random_kinds_depend_on_task_and_split() {
        let images = images(1);
        let noise = Corruption::new(Kind::GaussianNoise, 3).unwrap();
        let test = noise.apply(&images, &[0], "mnist", Split::Test);
        assert_ne!(test, noise.apply(&images, &[0], "fashion", Split::Test));
        assert_ne!(test, noise.apply(&images, &[0], "mnist", Split::Validation));
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for kind in Kind::ALL {
            let text = Corruption::new(kind, 2).unwrap().to_string();
            assert_eq!(text.parse::<Corruption>().unwrap().to_string(), text);
            assert_eq!(kind.id().parse::<Corruption>().unwrap().severity(), USUAL);
        }
        let error = |text: &str| text.parse::<Corruption>().unwrap_err().to_string();
        assert!(error("gausian_noise").contains("did you mean `gaussian_noise`?"));
        assert!(error("contrast:6").contains("severities are 1 to 5") && error("contrast:x").contains("1 to 5"));
        assert!(error("zzzzzzzz").contains("motion_blur, impulse_noise"));
        assert_eq!(serde_json::to_string(&"spatter:5".parse::<Corruption>().unwrap()).unwrap(), "\"spatter:5\"");
        assert!(serde_json::from_str::<Corruption>("\"spatter:9\"").is_err());
    }
}
