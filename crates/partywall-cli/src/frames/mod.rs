//! `partywall frames publish` and `frames recv`: large buffers, which nobody copies on their way.

mod files;
mod image;
mod publish;
mod recv;

use clap::Subcommand;

use crate::exit::{Exit, Failure};
use crate::options::Place;

/// What to do with frames.
#[derive(Subcommand, Debug)]
pub(crate) enum FramesCommand {
    /// Publish files, or standard input in pieces of one size
    Publish(publish::PublishArguments),
    /// Receive frames to standard output, or as a file each
    Recv(recv::RecvArguments),
}

/// Runs the command.
pub(crate) fn run(command: &FramesCommand, place: &Place) -> Result<Exit, Failure> {
    match command {
        FramesCommand::Publish(arguments) => publish::run(arguments, place),
        FramesCommand::Recv(arguments) => recv::run(arguments, place),
    }
}
