//! `knetsim capture NAME:INTERFACE`.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use clap::ValueEnum;
use knetsim_model::InterfaceRef;
use knetsim_model::packet::{Filter, Packet, Protocol};
use knetsim_model::protocol::{Reply, Request};

use crate::control::client::Client;
use crate::control::wire::WireError;
use crate::{completion, output, sandboxes};

const EXAMPLES: &str = "\
Examples:
  knetsim capture C0w1:flannel.100           what enters and leaves the tunnel
  knetsim capture C0w1:eth0 --vni 100        the same, in VXLAN
  knetsim capture C0w1.c1:eth0 --protocol icmp -c 2
  knetsim capture base:C0s0 --host 10.0.0.3 -t 10";

/// Print the packets that pass an interface, and what VXLAN carries
///
/// All that is asked for must hold of a packet; each may hold of what a tunnel carries as well.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Node, container or namespace, and interface; `base` is the fabric
    #[arg(value_name = "NAME:INTERFACE", add = completion::targets())]
    interface: InterfaceRef,
    /// End after that many packets
    #[arg(short, long, value_name = "N")]
    count: Option<NonZeroUsize>,
    /// End after that many seconds
    #[arg(short, long, value_name = "SECONDS")]
    time: Option<u64>,
    /// Only arp, ip, icmp, tcp, udp or vxlan
    #[arg(long, value_name = "NAME")]
    protocol: Option<Protocol>,
    /// Only from or to that address
    #[arg(long, value_name = "ADDRESS")]
    host: Option<IpAddr>,
    /// Only from or to that port of TCP or UDP
    #[arg(long)]
    port: Option<u16>,
    /// Only of that VXLAN network
    #[arg(long)]
    vni: Option<u32>,
    /// Only what comes in by the interface, or what goes out
    #[arg(long, value_enum)]
    direction: Option<Direction>,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Direction {
    In,
    Out,
}

pub(crate) fn run(name: Option<&str>, args: Args) -> anyhow::Result<u8> {
    let Args { interface, count, time, protocol, host, port, vni, direction } = args;
    let outgoing = direction.map(|direction| direction == Direction::Out);
    let filter = Filter { protocol, host, port, vni, outgoing };
    sandboxes::talk(name, async |mut client| {
        let mut lines = Lines { wanted: count.map_or(usize::MAX, NonZeroUsize::get), ..Lines::default() };
        let over = async {
            match time {
                Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            printed = lines.print_all(&mut client, interface, filter) => printed?,
            () = over => {}
            interrupted = tokio::signal::ctrl_c() => interrupted?,
        }
        lines.summary();
        Ok(u8::from(count.is_some() && lines.printed < lines.wanted))
    })
}

/// What was printed, and what was not.
#[derive(Default)]
struct Lines {
    wanted: usize,
    printed: usize,
    /// When the first one passed.
    first_us: Option<u64>,
    last_number: u64,
    /// Those that the kernel, and those that this program had no time for.
    dropped: u64,
    missed: u64,
}

impl Lines {
    /// Prints packets until as many as are wanted have passed.
    async fn print_all(&mut self, client: &mut Client, interface: InterfaceRef, filter: Filter) -> anyhow::Result<()> {
        let listening = format!("listening at {interface}; Ctrl-C ends it");
        let call = client.send(Request::Capture { interface, filter }, &[]).await?;
        let mut begun = false;
        while self.printed < self.wanted {
            let (answer, _) = client.receive().await?;
            match answer.reply {
                _ if answer.id != call => {}
                Reply::Packets { packets, dropped } => {
                    if !std::mem::replace(&mut begun, true) {
                        output::say(format_args!("{listening}"));
                    }
                    self.dropped = dropped;
                    self.print(&packets)?;
                }
                Reply::Failed(failure) => return Err(failure.into()),
                other => return Err(WireError::Unexpected(Box::new(other)).into()),
            }
        }
        Ok(())
    }

    fn print(&mut self, packets: &[Packet]) -> anyhow::Result<()> {
        let mut text = String::new();
        for packet in packets.iter().take(self.wanted - self.printed) {
            self.missed += packet.number - self.last_number - 1;
            self.last_number = packet.number;
            self.printed += 1;
            let since = Duration::from_micros(packet.at_us.saturating_sub(*self.first_us.get_or_insert(packet.at_us)));
            let direction = if packet.outgoing { "out" } else { "in " };
            text += &format!("{:.6} {direction} {packet}\n", since.as_secs_f64());
        }
        output::print(&text)
    }

    fn summary(&self) {
        let lost = match self.dropped + self.missed {
            0 => String::new(),
            lost => format!(", {lost} more came too fast"),
        };
        output::say(format_args!("{}{lost}", output::count(self.printed, "packet")));
    }
}
