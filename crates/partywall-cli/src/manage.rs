//! `partywall rm`, `clean` and `forget`.

use std::fmt::Write;

use clap::Args;
use partywall::manage;

use crate::exit::{Exit, Failure};
use crate::format;
use crate::options::Place;

/// Options of `partywall rm`.
#[derive(Args, Debug)]
pub(crate) struct RmArguments {
    /// The channel
    #[arg(value_name = "NAME")]
    channel: String,

    /// Even if it is in use or damaged; whoever has it open is told
    #[arg(long)]
    force: bool,
}

/// Options of `partywall clean`.
#[derive(Args, Debug)]
pub(crate) struct CleanArguments {
    /// Print what was done as JSON
    #[arg(long)]
    json: bool,
}

/// Options of `partywall forget`.
#[derive(Args, Debug)]
pub(crate) struct ForgetArguments {
    /// The channel
    #[arg(value_name = "NAME")]
    channel: String,

    /// The name that was given to `recv --name`
    #[arg(value_name = "CONSUMER")]
    consumer: String,
}

/// Removes one channel.
pub(crate) fn remove(arguments: &RmArguments, place: &Place) -> Result<Exit, Failure> {
    let removed = manage::remove(&place.open()?, &arguments.channel, arguments.force)?;
    format::print(&format!(
        "removed {} ({})\n",
        removed.channel,
        format::bytes(removed.bytes)
    ))
}

/// Removes what is left over.
pub(crate) fn clean(arguments: &CleanArguments, place: &Place) -> Result<Exit, Failure> {
    let rows = manage::clean(&place.open()?)?;
    if arguments.json {
        return format::print_json(&rows);
    }
    let mut text = String::new();
    for row in &rows {
        let verb = if row.removed { "removed" } else { "kept" };
        let size = format::bytes(row.bytes);
        let _ = writeln!(text, "{verb} {} ({size}): {}", row.channel, row.reason);
    }
    if rows.is_empty() {
        text.push_str("nothing to clean\n");
    }
    format::print(&text)
}

/// Gives up a durable consumer.
pub(crate) fn forget(arguments: &ForgetArguments, place: &Place) -> Result<Exit, Failure> {
    manage::forget(&place.open()?, &arguments.channel, &arguments.consumer)?;
    format::print(&format!(
        "forgot {} of {}\n",
        arguments.consumer, arguments.channel
    ))
}
