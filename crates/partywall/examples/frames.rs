//! Images from one process to another without a copy: the publisher draws them where the viewer looks at them.
//!
//! ```text
//! cargo run --release --example frames view &
//! cargo run --release --example frames
//! ```
#![allow(unsafe_code)]

use partywall::RecvError;
use partywall::frames::{PublisherOptions, SubscriberOptions, format};

const WIDTH: usize = 1920;
const HEIGHT: usize = 1080;
const CHANNEL: &str = "example-frames";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    match std::env::args().nth(1).as_deref() {
        Some("view") => view(),
        count => draw(count.map_or(Ok(200), str::parse)?),
    }
}

fn draw(images: u64) -> Result<(), Box<dyn std::error::Error>> {
    let publisher = PublisherOptions::new()
        .frame_size((WIDTH * HEIGHT) as u32)
        .seats(2)
        .held(3)
        .open(CHANNEL)?;
    println!("waiting for a viewer");
    publisher.wait_for_subscriber(None)?;
    // SAFETY: the channel is this user's, whose programs write to it by Partywall only.
    let publisher = unsafe { publisher.in_place() };
    for number in 0..images {
        // Waits if the viewer is behind.
        let mut image = publisher.loan(WIDTH * HEIGHT)?;
        image.fill(number as u8);
        let mut loan = image.into_inner();
        loan.set_image(WIDTH as u32, HEIGHT as u32, WIDTH as u32, format::GREY);
        loan.publish()?;
    }
    println!("drew {images} images");
    Ok(())
}

fn view() -> Result<(), Box<dyn std::error::Error>> {
    let subscriber = SubscriberOptions::new()
        // The publisher may be started later.
        .attach_timeout(None)
        .attach(CHANNEL)?;
    // SAFETY: as above.
    let mut subscriber = unsafe { subscriber.in_place() };
    // The last two images stay for comparing, where they lie.
    let mut before = None;
    let mut images = 0_u64;
    loop {
        let image = match subscriber.recv() {
            Ok(image) => image,
            Err(RecvError::Closed { .. }) => break,
            Err(error) => return Err(error.into()),
        };
        let about = image.frame().about();
        assert_eq!((about.width, about.format), (WIDTH as u32, format::GREY));
        let shade = image[0];
        if image.iter().any(|&pixel| pixel != shade) {
            return Err(format!("image {images} is torn").into());
        }
        if let Some(before) = before.replace(image) {
            assert_eq!(before[0].wrapping_add(1), shade, "none is missing");
        }
        images += 1;
    }
    println!("saw {images} images, all of them whole");
    Ok(())
}
