//! What keeps records apart: sequenced-packet sockets and POSIX message queues.
#![allow(unsafe_code)]

use crate::Outcome;
use crate::contest::Seat;
use crate::transport::{How, Receiving, Sending, Transport};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketType, accept, bind, connect, listen,
    recv, send, socket,
};
use std::ffi::CString;
use std::io;
use std::os::fd::OwnedFd;

#[derive(Debug)]
pub(super) struct Seqpacket;

#[derive(Debug)]
pub(super) struct Packets {
    listener: Option<OwnedFd>,
    socket: Option<OwnedFd>,
    buffer: Vec<u8>,
}

impl Packets {
    fn connected(&mut self) -> Outcome<&OwnedFd> {
        if let Some(listener) = self.listener.take() {
            self.socket = Some(accept(listener)?);
        }
        self.socket
            .as_ref()
            .ok_or_else(|| "nobody has connected".into())
    }
}

impl Sending for Packets {
    fn meet(&mut self) -> Outcome<()> {
        self.connected().map(drop)
    }

    fn send(&mut self, payload: &[u8]) -> Outcome<()> {
        let sent = send(self.connected()?, payload, SendFlags::empty())?;
        whole(sent, payload.len())
    }
}

impl Receiving for Packets {
    fn receive(&mut self, look: impl FnOnce(&[u8]) -> Outcome<()>) -> Outcome<()> {
        let Some(socket) = &self.socket else {
            return Err("not connected".into());
        };
        let (got, _) = recv(socket, self.buffer.as_mut_slice(), RecvFlags::empty())?;
        look(&self.buffer[..got])
    }
}

fn whole(done: usize, asked: usize) -> Outcome<()> {
    if done == asked {
        Ok(())
    } else {
        Err(format!("{done} bytes of {asked} were sent").into())
    }
}

impl Transport for Seqpacket {
    type Sender = Packets;
    type Receiver = Packets;

    fn sender(seat: &Seat, name: &str, _: How) -> Outcome<Packets> {
        let listener = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None)?;
        bind(&listener, &SocketAddrUnix::new(seat.file(name))?)?;
        listen(&listener, 1)?;
        Ok(Packets {
            listener: Some(listener),
            socket: None,
            buffer: Vec::new(),
        })
    }

    fn receiver(seat: &Seat, name: &str, _: How) -> Outcome<Packets> {
        let socket = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None)?;
        connect(&socket, &SocketAddrUnix::new(seat.file(name))?)?;
        Ok(Packets {
            listener: None,
            socket: Some(socket),
            buffer: vec![0; seat.size + 1],
        })
    }
}

#[derive(Debug)]
pub(super) struct Queue;

/// A message queue, whose name goes with the end that made it.
#[derive(Debug)]
pub(super) struct Messages {
    queue: libc::mqd_t,
    name: Option<CString>,
    buffer: Vec<u8>,
}

impl Messages {
    fn open(seat: &Seat, name: &str, create: bool) -> Outcome<Messages> {
        // Queues have names of their own, beside those of files; that of the run's directory is unique.
        let run = seat.place.file_name().unwrap_or_default().to_string_lossy();
        let name = CString::new(format!("/{run}.{}", seat.name(name).replace(' ', "-")))?;
        // SAFETY: zeros are a valid `mq_attr`.
        let mut attributes: libc::mq_attr = unsafe { std::mem::zeroed() };
        // As deep as users may make one.
        attributes.mq_maxmsg = 10;
        attributes.mq_msgsize = seat.size as _;
        let flags = libc::O_RDWR | libc::O_CLOEXEC | if create { libc::O_CREAT } else { 0 };
        // SAFETY: a string that ends with 0 and the two further arguments that `O_CREAT` takes.
        let queue = unsafe {
            libc::mq_open(
                name.as_ptr(),
                flags,
                0o600 as libc::mode_t,
                &raw const attributes,
            )
        };
        if queue == -1 {
            return Err(io::Error::last_os_error().into());
        }
        Ok(Messages {
            queue,
            name: create.then_some(name),
            buffer: vec![0; seat.size],
        })
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            // SAFETY: a string that ends with 0.
            unsafe { libc::mq_unlink(name.as_ptr()) };
        }
        // SAFETY: opened by us, and closed once.
        unsafe { libc::mq_close(self.queue) };
    }
}

impl Sending for Messages {
    fn meet(&mut self) -> Outcome<()> {
        // Both ends have it: its name is not needed any more, and nothing is left behind whoever dies.
        if let Some(name) = self.name.take() {
            // SAFETY: a string that ends with 0.
            unsafe { libc::mq_unlink(name.as_ptr()) };
        }
        Ok(())
    }

    fn send(&mut self, payload: &[u8]) -> Outcome<()> {
        // SAFETY: so many bytes can be read.
        match unsafe { libc::mq_send(self.queue, payload.as_ptr().cast(), payload.len(), 0) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error().into()),
        }
    }
}

impl Receiving for Messages {
    fn receive(&mut self, look: impl FnOnce(&[u8]) -> Outcome<()>) -> Outcome<()> {
        let buffer = &mut self.buffer;
        // SAFETY: so many bytes can be written.
        let got = unsafe {
            let no_priority = std::ptr::null_mut();
            libc::mq_receive(
                self.queue,
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                no_priority,
            )
        };
        match usize::try_from(got) {
            Ok(got) => look(&self.buffer[..got]),
            Err(_) => Err(io::Error::last_os_error().into()),
        }
    }
}

impl Transport for Queue {
    type Sender = Messages;
    type Receiver = Messages;

    fn sender(seat: &Seat, name: &str, _: How) -> Outcome<Messages> {
        Messages::open(seat, name, true)
    }

    fn receiver(seat: &Seat, name: &str, _: How) -> Outcome<Messages> {
        Messages::open(seat, name, false)
    }
}
