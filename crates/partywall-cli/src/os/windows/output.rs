//! Standard output that Ctrl-C can end, also while whoever should read it does not.

use std::fs::File;
use std::io::{self, Write};
use std::mem::ManuallyDrop;
use std::os::windows::io::{AsRawHandle, FromRawHandle};

use super::signals::Signals;

/// Where the received bytes go.
#[derive(Debug)]
pub(crate) struct Output;

/// Why not everything was written.
#[derive(Debug)]
pub(crate) enum Unwritten {
    Signal,
    Failed(io::Error),
}

impl Output {
    pub(crate) fn standard() -> Self {
        Output
    }

    /// Writes everything, around the standard library's line buffer, which would look for newlines in it.
    #[allow(clippy::unused_self)]
    pub(crate) fn write_all(&self, mut bytes: &[u8], signals: &Signals) -> Result<(), Unwritten> {
        let handle = io::stdout().as_raw_handle();
        // SAFETY: it is open for as long as the process; never closed here. Only its writing is used.
        let mut output = ManuallyDrop::new(unsafe { File::from_raw_handle(handle) });
        while !bytes.is_empty() {
            match signals.cancellable(|| output.write(bytes)) {
                Ok(Some(0)) => return Err(Unwritten::Failed(io::ErrorKind::WriteZero.into())),
                Ok(Some(written)) => bytes = &bytes[written..],
                Ok(None) => return Err(Unwritten::Signal),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Unwritten::Failed(error)),
            }
        }
        Ok(())
    }
}
