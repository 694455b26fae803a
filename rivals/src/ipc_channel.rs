//! ipc-channel: its byte channel. It has no form that does not sleep.

use ::ipc_channel::ipc::{
    IpcBytesReceiver, IpcBytesSender, IpcOneShotServer, IpcSender, bytes_channel,
};
use partywall_bench::Outcome;
use partywall_bench::contest::{Party, Seat};
use partywall_bench::transport::{self, How, Receiving, Sending, Transport};
use std::time::{Duration, Instant};

pub const LISTED: &str =
    r#"{"name": "ipc-channel", "does": ["latency", "stream", "wake", "frames"]}"#;

pub fn party(seat: &Seat) -> Option<Outcome<Box<dyn Party>>> {
    (seat.who == "ipc-channel")
        .then(|| transport::party::<Channel>(seat))
        .flatten()
}

struct Channel;
struct Out(
    Option<IpcOneShotServer<IpcBytesSender>>,
    Option<IpcBytesSender>,
);
struct In(IpcBytesReceiver);

impl Sending for Out {
    fn meet(&mut self) -> Outcome<()> {
        if let Some(server) = self.0.take() {
            self.1 = Some(server.accept()?.1);
        }
        Ok(())
    }

    fn send(&mut self, payload: &[u8]) -> Outcome<()> {
        match &self.1 {
            Some(sender) => Ok(sender.send(payload)?),
            None => Err("nobody has connected".into()),
        }
    }
}

impl Receiving for In {
    fn receive(&mut self, look: impl FnOnce(&[u8]) -> Outcome<()>) -> Outcome<()> {
        look(&self.0.recv()?)
    }
}

impl Transport for Channel {
    type Sender = Out;
    type Receiver = In;

    fn sender(seat: &Seat, name: &str, _: How) -> Outcome<Out> {
        // The name that it chooses is left in a file for the other side.
        let (server, address) = IpcOneShotServer::new()?;
        std::fs::write(seat.file(&format!("{name}.new")), address)?;
        std::fs::rename(seat.file(&format!("{name}.new")), seat.file(name))?;
        Ok(Out(Some(server), None))
    }

    fn receiver(seat: &Seat, name: &str, _: How) -> Outcome<In> {
        let started = Instant::now();
        let address = loop {
            match std::fs::read_to_string(seat.file(name)) {
                Ok(address) => break address,
                Err(error) if started.elapsed() > Duration::from_secs(20) => {
                    return Err(error.into());
                }
                Err(_) => std::thread::yield_now(),
            }
        };
        let (sender, receiver) = bytes_channel()?;
        IpcSender::connect(address)?.send(sender)?;
        Ok(In(receiver))
    }
}
