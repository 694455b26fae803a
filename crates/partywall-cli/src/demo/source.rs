//! Where frames come from, and how large they are.

use super::{DemoArgs, LARGEST_FRAME};
use std::fmt;
use std::path::PathBuf;

/// How large a frame is, and of what shape, if that was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameSize {
    pub(super) bytes: usize,
    pub(super) image: Option<Image>,
}

/// An image's pixels in a row, its rows, and the bytes of each pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Image {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) pixel: u32,
}

impl FrameSize {
    pub(super) const FULL_HD: FrameSize = FrameSize {
        bytes: 1920 * 1080 * 3,
        image: Some(Image {
            width: 1920,
            height: 1080,
            pixel: 3,
        }),
    };
}

/// As it is parsed.
impl fmt::Display for FrameSize {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.image {
            Some(image) => write!(out, "{}x{}x{}", image.width, image.height, image.pixel),
            None => write!(out, "{}", self.bytes),
        }
    }
}

#[derive(Debug, Clone)]
pub(super) enum Source {
    Made {
        frame_size: FrameSize,
    },
    File {
        path: PathBuf,
        frame_size: FrameSize,
        frames: u64,
    },
}

impl Source {
    pub(super) fn of(args: &DemoArgs) -> Result<Source, String> {
        let Some(path) = &args.input else {
            return Ok(Source::Made {
                frame_size: args.frame_size.unwrap_or(FrameSize::FULL_HD),
            });
        };
        let frame_size = args.frame_size.ok_or("--input needs --frame-size")?;
        let problem = |what: String| format!("--input {}: {what}", path.display());
        let file = std::fs::metadata(path).map_err(|error| problem(error.to_string()))?;
        if !file.is_file() {
            return Err(problem(
                "not a regular file; the demo reads its frames many times".into(),
            ));
        }
        let frames = file.len() / frame_size.bytes as u64;
        if frames == 0 {
            return Err(problem(format!(
                "{} bytes, less than one frame of {}; is --frame-size right?",
                file.len(),
                frame_size.bytes,
            )));
        }
        Ok(Source::File {
            path: path.clone(),
            frame_size,
            frames,
        })
    }

    /// Bytes of each frame.
    pub(super) fn frame_size(&self) -> usize {
        self.size().bytes
    }

    /// What each frame is an image of, if that was said.
    pub(super) fn image(&self) -> Option<Image> {
        self.size().image
    }

    fn size(&self) -> &FrameSize {
        match self {
            Source::Made { frame_size } | Source::File { frame_size, .. } => frame_size,
        }
    }
}

/// Parses BYTES, or a product of them.
pub(super) fn frame_size(text: &str) -> Result<FrameSize, String> {
    let (mut size, mut factors) = (1_usize, Vec::new());
    for factor in text.split(['x', 'X']) {
        let factor: usize = factor
            .parse()
            .map_err(|_| "expected BYTES or WIDTHxHEIGHTxBYTES, such as 1920x1080x3".to_owned())?;
        factors.push(u32::try_from(factor).unwrap_or(0));
        size = size
            .checked_mul(factor)
            .filter(|&size| size <= LARGEST_FRAME)
            .ok_or_else(|| format!("a frame may have at most {LARGEST_FRAME} bytes (1 GiB)"))?;
    }
    if size == 0 {
        return Err("a frame must have at least one byte".into());
    }
    // None is more than their product.
    let image = match factors[..] {
        [width, height, pixel] => Some(Image {
            width,
            height,
            pixel,
        }),
        _ => None,
    };
    Ok(FrameSize { bytes: size, image })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_told_the_size_that_its_parent_was_told() {
        for (text, told) in [("1920X1080X3", "1920x1080x3"), ("64", "64"), ("8x8", "64")] {
            let size = frame_size(text).expect("a size");
            assert_eq!(size.to_string(), told);
            assert_eq!(frame_size(told), Ok(size));
        }
    }

    #[test]
    fn a_frame_size_is_bytes_or_a_product() {
        assert_eq!(frame_size("1920x1080x3"), Ok(FrameSize::FULL_HD));
        for (text, bytes) in [("17", 17), ("4x5", 20), ("2x2x2x2", 16)] {
            assert_eq!(frame_size(text), Ok(FrameSize { bytes, image: None }));
        }
        for bad in [
            "",
            "0",
            "0x5x5",
            "x",
            "1x",
            "-1",
            "1.5",
            "99999999999",
            "4294967296x4294967296x4294967296",
        ] {
            assert!(frame_size(bad).is_err(), "{bad}");
        }
    }
}
