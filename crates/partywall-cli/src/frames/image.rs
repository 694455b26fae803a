//! What a frame's bytes are: the library's registries, by names.

use std::str::FromStr;

use partywall::frames::{About, content, format};
use serde::{Serialize, Serializer};

/// How the bytes of an image follow from its width and height.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    /// So many bytes a pixel.
    Pixels(u64),
    /// Four bytes for each two pixels of a row.
    Pairs,
    /// A plane of one byte a pixel, then two samples for each four pixels.
    Planes,
    /// As a codec packs it.
    Packed,
}

/// Formats of images and codecs of images.
const FORMATS: [(&str, u32, Layout); 15] = [
    ("grey", format::GREY, Layout::Pixels(1)),
    ("grey16", format::GREY_16, Layout::Pixels(2)),
    ("rgb", format::RGB, Layout::Pixels(3)),
    ("bgr", format::BGR, Layout::Pixels(3)),
    ("rgba", format::RGBA, Layout::Pixels(4)),
    ("bgra", format::BGRA, Layout::Pixels(4)),
    ("yuyv", format::YUYV, Layout::Pairs),
    ("uyvy", format::UYVY, Layout::Pairs),
    ("nv12", format::NV12, Layout::Planes),
    ("i420", format::I420, Layout::Planes),
    ("bggr", format::BAYER_BGGR, Layout::Pixels(1)),
    ("rggb", format::BAYER_RGGB, Layout::Pixels(1)),
    ("jpeg", format::JPEG, Layout::Packed),
    ("h264", format::H264, Layout::Packed),
    ("hevc", format::HEVC, Layout::Packed),
];

/// What the numbers of the registry of contents are called.
const CONTENTS: [(u16, &str); 7] = [
    (content::BYTES, "bytes"),
    (content::IMAGE, "image"),
    (content::AUDIO, "audio"),
    (content::BATCH, "batch"),
    (content::ENCODED, "encoded"),
    (content::POINTS, "points"),
    (content::TENSOR, "tensor"),
];

/// The image that each frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Image {
    width: u32,
    height: u32,
    format: u32,
    layout: Layout,
}

impl FromStr for Image {
    type Err = String;

    /// WIDTHxHEIGHT:FORMAT.
    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once(':').and_then(|(size, format)| {
            let (width, height) = size.split_once(['x', 'X'])?;
            let number = |text: &str| text.parse().ok().filter(|&number: &u32| number > 0);
            Some((number(width)?, number(height)?, format))
        });
        let Some((width, height, name)) = parts else {
            return Err("expected WIDTHxHEIGHT:FORMAT, such as 1920x1080:rgb".to_owned());
        };
        let known = FORMATS.iter().find(|(known, code, _)| {
            known.eq_ignore_ascii_case(name) || code.to_le_bytes() == name.as_bytes()
        });
        let Some(&(_, format, layout)) = known else {
            let names: Vec<&str> = FORMATS.iter().map(|(name, ..)| *name).collect();
            return Err(format!("the format must be one of {}", names.join(", ")));
        };
        let image = Image {
            width,
            height,
            format,
            layout,
        };
        match image.bytes() {
            Some(bytes) if bytes > 1 << 30 => Err("a frame has at most 1 GiB".to_owned()),
            _ => Ok(image),
        }
    }
}

impl Image {
    /// Bytes of each; `None` if they vary.
    pub(super) fn bytes(&self) -> Option<u64> {
        let (width, height) = (u64::from(self.width), u64::from(self.height));
        match self.layout {
            Layout::Planes => {
                // An odd side has a sample for its last row or column as well.
                let chroma = 2 * width.div_ceil(2) * height.div_ceil(2);
                Some((width * height).saturating_add(chroma))
            }
            _ => self.row().map(|row| row.saturating_mul(height)),
        }
    }

    /// Bytes from row to row, those of the first plane; `None` if there are no rows.
    fn row(&self) -> Option<u64> {
        let width = u64::from(self.width);
        Some(match self.layout {
            Layout::Pixels(bytes) => width * bytes,
            Layout::Pairs => width.div_ceil(2) * 4,
            Layout::Planes => width,
            Layout::Packed => return None,
        })
    }

    pub(super) fn content(&self) -> u16 {
        match self.layout {
            Layout::Packed => content::ENCODED,
            _ => content::IMAGE,
        }
    }

    pub(super) fn about(&self) -> About {
        About {
            width: self.width,
            height: self.height,
            // A row is not longer than the image, or there is none.
            stride: self.row().map_or(0, |row| row as u32),
            format: self.format,
            ..About::default()
        }
    }
}

/// A number of the registry of contents, as its name if it has one.
#[derive(Clone, Copy, Debug)]
pub(super) struct ContentName(pub(super) u16);

impl Serialize for ContentName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match CONTENTS.iter().find(|(number, _)| *number == self.0) {
            Some((_, name)) => serializer.serialize_str(name),
            None => serializer.serialize_u16(self.0),
        }
    }
}

/// A format: its four characters, or its number if they are none; null for 0.
#[derive(Clone, Copy, Debug)]
pub(super) struct FormatName(pub(super) u32);

impl Serialize for FormatName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let characters = self.0.to_le_bytes();
        let readable = characters
            .iter()
            .all(|byte| byte.is_ascii_graphic() || *byte == b' ');
        match std::str::from_utf8(&characters) {
            _ if self.0 == 0 => serializer.serialize_none(),
            Ok(text) if readable => serializer.serialize_str(text),
            _ => serializer.serialize_u32(self.0),
        }
    }
}

/// How the name of a file with such a frame ends.
pub(super) fn extension(content: u16, format: u32) -> &'static str {
    match (content, format) {
        (content::ENCODED, format::JPEG) => "jpg",
        (content::ENCODED, format::H264) => "h264",
        (content::ENCODED, format::HEVC) => "h265",
        _ => "raw",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_says_how_many_bytes_it_has_and_how_it_lies() {
        for (text, bytes, stride, code) in [
            ("1920x1080:rgb", Some(6_220_800), 5760, "RGB3"),
            ("1920X1080:RGB3", Some(6_220_800), 5760, "RGB3"),
            ("3x3:grey", Some(9), 3, "GREY"),
            ("3x3:grey16", Some(18), 6, "Y16 "),
            ("3x3:bgra", Some(36), 12, "AR24"),
            ("3x3:yuyv", Some(24), 8, "YUYV"),
            ("4x2:nv12", Some(12), 4, "NV12"),
            ("3x3:i420", Some(17), 3, "YU12"),
            ("3x3:rggb", Some(9), 3, "RGGB"),
            ("640x480:jpeg", None, 0, "JPEG"),
        ] {
            let image: Image = text.parse().unwrap();
            assert_eq!(image.bytes(), bytes, "{text}");
            let about = image.about();
            assert_eq!(about.stride, stride, "{text}");
            assert_eq!(about.format.to_le_bytes(), code.as_bytes(), "{text}");
        }
        let image: Image = "4x2:nv12".parse().unwrap();
        assert_eq!((image.about().width, image.about().height), (4, 2));
        assert_eq!(image.content(), content::IMAGE);
        let packed: Image = "640x480:jpeg".parse().unwrap();
        assert_eq!(packed.content(), content::ENCODED);
        assert_eq!(extension(packed.content(), packed.about().format), "jpg");
    }

    #[test]
    fn nonsense_is_no_image() {
        for text in [
            "",
            "1920x1080",
            "1920:rgb",
            "0x1:rgb",
            "1x0:rgb",
            "-1x1:rgb",
            "1x1:s16l",
            "1x1:",
            "4294967295x4294967295:rgba",
            "4294967295x4294967295:nv12",
            "4294967296x1:grey",
            "40000x40000:grey",
        ] {
            assert!(text.parse::<Image>().is_err(), "{text}");
        }
    }

    #[test]
    fn contents_and_formats_read_as_their_registries_call_them() {
        for (content, text) in [(0, "bytes"), (1, "image"), (6, "tensor")] {
            let name = serde_json::to_value(ContentName(content)).unwrap();
            assert_eq!(name, text);
        }
        assert_eq!(serde_json::to_value(ContentName(0x8001)).unwrap(), 0x8001);
        assert!(serde_json::to_value(FormatName(0)).unwrap().is_null());
        assert_eq!(
            serde_json::to_value(FormatName(format::RGB)).unwrap(),
            "RGB3"
        );
        assert_eq!(serde_json::to_value(FormatName(7)).unwrap(), 7);
    }
}
