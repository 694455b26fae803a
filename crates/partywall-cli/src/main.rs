//! The `partywall` command: send, receive, look inside, clean up, demonstrate, measure.

mod bench;
mod broadcast;
mod collect;
mod demo;
mod ended;
mod exit;
mod fields;
mod format;
mod frames;
mod in_place;
mod info;
mod input;
mod kinds;
mod lock;
mod ls;
mod manage;
mod options;
mod os;
mod recv;
mod schema;
mod send;
mod sink;
mod snapshot;
mod torture;
mod value;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use os::{output, signals};

use exit::{Exit, Failure};
use options::Place;

/// Bulk data between processes on one machine, through shared memory.
#[derive(Parser, Debug)]
#[command(
    name = "partywall",
    version,
    after_help = exit::HELP,
    after_long_help = exit::HELP,
    arg_required_else_help = true
)]
struct Arguments {
    #[command(flatten)]
    place: Place,

    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Send standard input into a channel
    Send(send::SendArguments),
    /// Receive a channel to standard output
    Recv(recv::RecvArguments),
    /// Put a value into a snapshot, where it stays
    Put(snapshot::PutArguments),
    /// Get the latest value of a snapshot
    Get(snapshot::GetArguments),
    /// Follow a snapshot: write each new value
    Watch(snapshot::WatchArguments),
    /// Broadcast standard input to whoever listens, without ever waiting
    Pub(broadcast::PubArguments),
    /// Listen to a broadcast; says what was lost
    Sub(broadcast::SubArguments),
    /// Publish or receive large buffers, such as images, which nobody copies
    #[command(subcommand)]
    Frames(frames::FramesCommand),
    /// Collect what many send (`send --to-collector`), to standard output
    Collect(collect::CollectArguments),
    /// Run a command while holding the lock of a guarded record, or change its value
    Lock(lock::LockArguments),
    /// List the channels
    Ls(ls::LsArguments),
    /// Show everything about one channel
    Info(info::InfoArguments),
    /// Show what a channel's records are made of, or declare it in a language
    Schema(schema::SchemaArguments),
    /// Remove a channel
    Rm(manage::RmArguments),
    /// Remove the channels that dead or finished producers left
    Clean(manage::CleanArguments),
    /// Give up a durable consumer, so that its producer no longer waits for it
    Forget(manage::ForgetArguments),
    /// Show a pattern at work: a writer is killed half-way, and those who read go on
    Demo(demo::DemoArgs),
    /// Torture all patterns with random traffic, kills and stops, and judge what comes of it
    Torture(torture::TortureArguments),
    /// Measure against the limit of this machine
    Bench(partywall_bench::Arguments),
    #[command(hide = true)]
    BenchSeat(partywall_bench::contest::Seat),
    /// Print the layout of shared memory: every field, its offset, width and writer
    Abi,
    /// Print a completion script for a shell
    Completions {
        /// Which shell
        shell: Shell,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.command {
        Command::Demo(options) => {
            return demo::run(&options, arguments.place.dir.as_deref())
                .unwrap_or_else(|message| complain(&Failure::new(Exit::Failed, message)));
        }
        Command::Torture(options) => {
            return torture::run(&options, arguments.place.dir.as_deref())
                .unwrap_or_else(|message| complain(&Failure::new(Exit::Failed, message)));
        }
        Command::Bench(options) => {
            return bench::run(&options)
                .unwrap_or_else(|message| complain(&Failure::new(Exit::Failed, message)));
        }
        Command::BenchSeat(seat) => {
            return bench::serve(&seat)
                .unwrap_or_else(|message| complain(&Failure::new(Exit::Failed, message)));
        }
        Command::Lock(options) => {
            return lock::run(&options, &arguments.place)
                .unwrap_or_else(|failure| complain(&failure));
        }
        Command::Send(options) => send::run(&options, &arguments.place),
        Command::Recv(options) => recv::run(&options, &arguments.place),
        Command::Put(options) => snapshot::put(&options, &arguments.place),
        Command::Get(options) => snapshot::get(&options, &arguments.place),
        Command::Watch(options) => snapshot::watch(&options, &arguments.place),
        Command::Pub(options) => broadcast::publish(&options, &arguments.place),
        Command::Sub(options) => broadcast::subscribe(&options, &arguments.place),
        Command::Frames(command) => frames::run(&command, &arguments.place),
        Command::Collect(options) => collect::run(&options, &arguments.place),
        Command::Ls(options) => ls::run(&options, &arguments.place),
        Command::Info(options) => info::run(&options, &arguments.place),
        Command::Schema(options) => schema::run(&options, &arguments.place),
        Command::Rm(options) => manage::remove(&options, &arguments.place),
        Command::Clean(options) => manage::clean(&options, &arguments.place),
        Command::Forget(options) => manage::forget(&options, &arguments.place),
        Command::Abi => format::print(&info::abi()),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "partywall", &mut script);
            format::print(&String::from_utf8_lossy(&script))
        }
    };
    match outcome {
        Ok(exit) => exit.into(),
        Err(failure) => complain(&failure),
    }
}

/// Says what went wrong.
fn complain(failure: &Failure) -> ExitCode {
    ended::complain(&failure.message);
    failure.exit.into()
}
