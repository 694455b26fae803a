//! Where frames come from, and how large they are.

use super::{DemoArgs, FULL_HD, LARGEST_FRAME};
use std::path::PathBuf;

#[derive(Debug, Clone)]
pub(super) enum Source {
    Made {
        frame_size: usize,
    },
    File {
        path: PathBuf,
        frame_size: usize,
        frames: u64,
    },
}

impl Source {
    pub(super) fn of(args: &DemoArgs) -> Result<Source, String> {
        let Some(path) = &args.input else {
            return Ok(Source::Made {
                frame_size: args.frame_size.unwrap_or(FULL_HD),
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
        let frames = file.len() / frame_size as u64;
        if frames == 0 {
            return Err(problem(format!(
                "{} bytes, less than one frame of {frame_size}; is --frame-size right?",
                file.len()
            )));
        }
        Ok(Source::File {
            path: path.clone(),
            frame_size,
            frames,
        })
    }

    pub(super) fn frame_size(&self) -> usize {
        match self {
            Source::Made { frame_size } | Source::File { frame_size, .. } => *frame_size,
        }
    }
}

/// Parses BYTES, or a product of them.
pub(super) fn frame_size(text: &str) -> Result<usize, String> {
    let mut size = 1_usize;
    for factor in text.split(['x', 'X']) {
        let factor: usize = factor
            .parse()
            .map_err(|_| "expected BYTES or WIDTHxHEIGHTxBYTES, such as 1920x1080x3".to_owned())?;
        size = size
            .checked_mul(factor)
            .filter(|&size| size <= LARGEST_FRAME)
            .ok_or_else(|| format!("a frame may have at most {LARGEST_FRAME} bytes (1 GiB)"))?;
    }
    if size == 0 {
        Err("a frame must have at least one byte".into())
    } else {
        Ok(size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_size_is_bytes_or_a_product() {
        assert_eq!(frame_size("1920x1080x3"), Ok(FULL_HD));
        assert_eq!(frame_size("17"), Ok(17));
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
