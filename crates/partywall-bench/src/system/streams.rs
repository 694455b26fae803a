//! Pipes and stream sockets: bytes, cut into records by their size, which both sides know.

use crate::Outcome;
use crate::contest::Seat;
use crate::transport::{How, Receiving, Sending, Transport};
#[cfg(target_os = "linux")]
use rustix::fs::{CWD, Mode};
#[cfg(target_os = "linux")]
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

/// The end that sends.
#[derive(Debug)]
pub(super) struct Out<W> {
    to: Option<W>,
    listener: Option<UnixListener>,
    together: Vec<u8>,
}

/// The end that receives. It takes whatever has come, up to what its buffer holds: fewer system calls for small records.
#[derive(Debug)]
pub(super) struct In<R> {
    from: R,
    buffer: Vec<u8>,
    begin: usize,
    end: usize,
    size: usize,
}

const BUFFER: usize = 64 * 1024;

impl<R: Read> In<R> {
    fn new(from: R, size: usize) -> Self {
        In {
            from,
            buffer: vec![0; BUFFER.max(size)],
            begin: 0,
            end: 0,
            size,
        }
    }
}

fn to<W>(out: &mut Option<W>) -> Outcome<&mut W> {
    out.as_mut().ok_or_else(|| "nobody has connected".into())
}

impl<W: Write> Out<W> {
    fn write(&mut self, payload: &[u8]) -> Outcome<()> {
        Ok(to(&mut self.to)?.write_all(payload)?)
    }

    fn write_together<'a>(&mut self, payloads: impl Iterator<Item = &'a [u8]>) -> Outcome<()> {
        self.together.clear();
        for payload in payloads {
            self.together.extend_from_slice(payload);
        }
        Ok(to(&mut self.to)?.write_all(&self.together)?)
    }
}

#[cfg(target_os = "linux")]
impl Sending for Out<File> {
    fn send(&mut self, payload: &[u8]) -> Outcome<()> {
        self.write(payload)
    }

    fn send_all<'a>(&mut self, payloads: impl Iterator<Item = &'a [u8]>) -> Outcome<()> {
        self.write_together(payloads)
    }
}

impl Sending for Out<UnixStream> {
    fn meet(&mut self) -> Outcome<()> {
        if let Some(listener) = self.listener.take() {
            self.to = Some(listener.accept()?.0);
        }
        Ok(())
    }

    fn send(&mut self, payload: &[u8]) -> Outcome<()> {
        if self.listener.is_some() {
            self.meet()?;
        }
        self.write(payload)
    }

    fn send_all<'a>(&mut self, payloads: impl Iterator<Item = &'a [u8]>) -> Outcome<()> {
        if self.listener.is_some() {
            self.meet()?;
        }
        self.write_together(payloads)
    }
}

impl<R: Read> Receiving for In<R> {
    fn receive(&mut self, look: impl FnOnce(&[u8]) -> Outcome<()>) -> Outcome<()> {
        if self.buffer.len() - self.begin < self.size {
            self.buffer.copy_within(self.begin..self.end, 0);
            self.end -= self.begin;
            self.begin = 0;
        }
        while self.end - self.begin < self.size {
            match self.from.read(&mut self.buffer[self.end..])? {
                0 => return Err("the other end is gone".into()),
                more => self.end += more,
            }
        }
        let record = &self.buffer[self.begin..self.begin + self.size];
        self.begin += self.size;
        look(record)
    }
}

#[cfg(target_os = "linux")]
#[derive(Debug)]
pub(super) struct Pipe;

/// As large as a user may make it.
#[cfg(target_os = "linux")]
const PIPE_SIZE: usize = 1 << 20;

#[cfg(target_os = "linux")]
impl Pipe {
    fn open(seat: &Seat, name: &str) -> Outcome<File> {
        let path = seat.file(name);
        match rustix::fs::mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        // For both, so that opening waits for nobody.
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        rustix::pipe::fcntl_setpipe_size(&file, PIPE_SIZE)?;
        Ok(file)
    }
}

#[cfg(target_os = "linux")]
impl Transport for Pipe {
    type Sender = Out<File>;
    type Receiver = In<File>;

    fn sender(seat: &Seat, name: &str, _: How) -> Outcome<Out<File>> {
        let to = Some(Pipe::open(seat, name)?);
        Ok(Out {
            to,
            listener: None,
            together: Vec::new(),
        })
    }

    fn receiver(seat: &Seat, name: &str, _: How) -> Outcome<In<File>> {
        Ok(In::new(Pipe::open(seat, name)?, seat.size))
    }
}

#[derive(Debug)]
pub(super) struct UnixStreams;

fn path(seat: &Seat, name: &str) -> PathBuf {
    seat.file(name)
}

impl Transport for UnixStreams {
    type Sender = Out<UnixStream>;
    type Receiver = In<UnixStream>;

    fn sender(seat: &Seat, name: &str, _: How) -> Outcome<Out<UnixStream>> {
        let listener = Some(UnixListener::bind(path(seat, name))?);
        Ok(Out {
            to: None,
            listener,
            together: Vec::new(),
        })
    }

    fn receiver(seat: &Seat, name: &str, _: How) -> Outcome<In<UnixStream>> {
        Ok(In::new(UnixStream::connect(path(seat, name))?, seat.size))
    }
}
