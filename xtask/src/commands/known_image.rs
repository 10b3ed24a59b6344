//! What is known of the image of a host, for the commands that list hosts.

use std::fmt;

use anyhow::Result;
use schemars::JsonSchema;
use serde::Serialize;

use crate::base::{Context, ErrorReport};
use crate::nix::flake::{Host, HostImage, Place};
use crate::nix::{EvalCache, Fingerprint};

/// What is known of the image of a host.
pub enum KnownImage {
    /// The flake has a package `HOST-sdImage`, for these systems.
    Package(Vec<String>),
    /// An evaluation found the image, or several of which the user has to choose one.
    Found {
        images: Vec<HostImage>,
        /// The systems with a package `HOST-sdImage`, if the image is one of these packages; else empty.
        systems: Vec<String>,
    },
    /// An evaluation found no image, for this reason.
    Missing(anyhow::Error),
    NotEvaluated,
    /// The host has only a deploy node.
    None,
}

impl KnownImage {
    /// The image of `host` by the names in the flake, without an evaluation of the configuration.
    pub fn by_names(host: &Host) -> Self {
        match host {
            Host { image_systems, .. } if !image_systems.is_empty() => Self::Package(image_systems.clone()),
            Host { configured: true, .. } | Host { in_images: true, .. } => Self::NotEvaluated,
            Host { card_packages, .. } if !card_packages.is_empty() => Self::NotEvaluated,
            _ => Self::None,
        }
    }

    /// The image by the names in the flake, and by earlier evaluations of the flake with this `fingerprint`.
    pub fn recall(cx: &Context, host: &Host, fingerprint: Option<&Fingerprint>) -> Self {
        let cache = EvalCache::new(&cx.state);
        let recalled = || HostImage::from_cache(&cache, fingerprint?, &cx.flake, host);
        match Self::by_names(host) {
            Self::None => Self::None,
            known => recalled().map_or(known, |found| Self::of(host, found)),
        }
    }

    /// What an evaluation `found` of `host`.
    pub fn of(host: &Host, found: Result<Vec<HostImage>>) -> Self {
        let images = match found {
            Ok(images) => images,
            Err(error) => return Self::Missing(error),
        };
        // An attribute may say another system than that of its derivation, which counts.
        let is_package = match &images[..] {
            [HostImage { place: Place::Convention, system: Some(system), .. }] => {
                host.image_systems.contains(system)
            }
            _ => false,
        };
        let systems = if is_package { host.image_systems.clone() } else { Vec::new() };
        Self::Found { images, systems }
    }
}

/// What is known of the image of a host.
#[derive(Default, Serialize, JsonSchema)]
pub struct ImageRow {
    state: ImageState,
    /// Where in the flake the image is.
    place: Option<Place>,
    /// The attributes of the image, or of several of which the user has to choose one; empty for an image at the place
    /// of the convention.
    attributes: Vec<String>,
    /// The systems that build the image.
    systems: Vec<String>,
    /// Why an evaluation found no image.
    error: Option<ErrorReport>,
}

/// Whether a host has an image.
#[derive(Default, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum ImageState {
    Found,
    Several,
    Missing,
    NotEvaluated,
    /// The host has only a deploy node.
    #[default]
    None,
}

impl From<&KnownImage> for ImageRow {
    fn from(image: &KnownImage) -> Self {
        let none = Self::default();
        match image {
            KnownImage::Package(systems) => {
                let place = Some(Place::Convention);
                Self { state: ImageState::Found, place, systems: systems.clone(), ..none }
            }
            KnownImage::Found { images, systems } => match &images[..] {
                [image] => Self {
                    state: ImageState::Found,
                    place: Some(image.place),
                    attributes: vec![image.to_string()],
                    systems: match &systems[..] {
                        [] => image.system.iter().cloned().collect(),
                        systems => systems.to_vec(),
                    },
                    ..none
                },
                several => Self { state: ImageState::Several, attributes: attributes(several), ..none },
            },
            KnownImage::Missing(error) => {
                Self { state: ImageState::Missing, error: Some(ErrorReport::of(error)), ..none }
            }
            KnownImage::NotEvaluated => Self { state: ImageState::NotEvaluated, ..none },
            KnownImage::None => none,
        }
    }
}

impl fmt::Display for KnownImage {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Package(systems) => f.write_str(&systems.join(", ")),
            Self::Found { systems, .. } if !systems.is_empty() => f.write_str(&systems.join(", ")),
            Self::Found { images, .. } => match &images[..] {
                [image] => f.write_str(&image.summary()),
                several => write!(f, "{} images: {}", several.len(), attributes(several).join(", ")),
            },
            Self::Missing(error) => write!(f, "none: {}", in_one_line(&error.to_string())),
            Self::NotEvaluated => f.write_str("not evaluated"),
            Self::None => f.write_str("-"),
        }
    }
}

fn attributes(images: &[HostImage]) -> Vec<String> {
    images.iter().map(HostImage::to_string).collect()
}

/// An error of Nix without the position in the flake, in one line.
fn in_one_line(error: &str) -> String {
    let lines = error.lines().take_while(|line| !line.starts_with("  at "));
    lines.map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}
