//! Standard input, read so that a signal can end the wait for it.

use std::io;

use crate::ended::Ended;
use crate::exit::Failure;
use crate::signals::Signals;

/// Bytes read at once: as many as a pipe can hold, or a good piece of a file.
pub(crate) const CHUNK: usize = 1 << 20;

/// Standard input, read without the standard library's buffer, which would copy everything once more.
#[derive(Debug)]
pub(crate) struct Input<'a> {
    pub(crate) signals: &'a Signals,
}

impl Input<'_> {
    /// Reads what is there, at most so much; 0 at the end.
    pub(crate) fn read(&self, buffer: &mut [u8]) -> Result<usize, Ended> {
        let failed = |error| Ended::Failed(Failure::stream("read standard input", &error));
        loop {
            match self.signals.read_input(buffer) {
                Ok(Some(read)) => return Ok(read),
                Ok(None) => return Err(Ended::Signal),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error)),
            }
        }
    }

    /// Reads once, or until the buffer is full; how much, and whether that was the end.
    pub(crate) fn fill(&self, buffer: &mut [u8], whole: bool) -> Result<(usize, bool), Ended> {
        let mut filled = 0;
        loop {
            let read = self.read(&mut buffer[filled..])?;
            filled += read;
            if read == 0 || !whole || filled == buffer.len() {
                return Ok((filled, read == 0));
            }
        }
    }

    /// Everything up to the end, at most so much.
    pub(crate) fn read_to_end(&self, most: usize) -> Result<Vec<u8>, Ended> {
        let mut bytes = Vec::new();
        loop {
            let kept = bytes.len();
            bytes.resize(kept + CHUNK, 0);
            let read = self.read(&mut bytes[kept..])?;
            bytes.truncate(kept + read);
            if read == 0 {
                return Ok(bytes);
            }
            if bytes.len() > most {
                return Err(Ended::Failed(Failure::new(
                    crate::exit::Exit::Failed,
                    format!("standard input has more than {most} bytes"),
                )));
            }
        }
    }

    /// Calls `each` for every line, without its newline, as soon as it is there. A line may be so long.
    pub(crate) fn lines(
        &self,
        longest: usize,
        mut each: impl FnMut(&[u8]) -> Result<(), Ended>,
    ) -> Result<(), Ended> {
        let mut buffer = vec![0; longest.saturating_add(1).max(64 << 10)];
        // Bytes of an unfinished line at the start of the buffer.
        let mut kept = 0;
        loop {
            let read = self.read(&mut buffer[kept..])?;
            let filled = kept + read;
            let mut from = 0;
            for newline in memchr::memchr_iter(b'\n', &buffer[kept..filled]) {
                each(&buffer[from..kept + newline])?;
                from = kept + newline + 1;
            }
            buffer.copy_within(from..filled, 0);
            kept = filled - from;
            if read == 0 {
                return if kept == 0 {
                    Ok(())
                } else {
                    each(&buffer[..kept])
                };
            }
            if kept > longest {
                return Err(Ended::Failed(Failure::new(
                    crate::exit::Exit::Failed,
                    format!("a line of more than {longest} bytes; give --size"),
                )));
            }
        }
    }
}
