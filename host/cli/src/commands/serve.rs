//! `knetsim serve NAME`: a web server that says its name, for containers.

use std::convert::Infallible;
use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::output;

const EXAMPLES: &str = "\
Examples:
  knetsim create container C0w2.ic0 -- knetsim serve S1-W2
  knetsim exec C0w1 -- curl -s 11.15.48.2:8000             S1-W2
  knetsim exec C0w1 -- curl -s '11.15.48.2:8000/a?echo'    also what was asked, and by whom
  knetsim exec C0w1 -- curl -so /dev/null -w '%{speed_download}' '11.15.48.2:8000/?bytes=100000000'";

/// How long it rests where it can accept nothing, such as for want of descriptors.
const REST: Duration = Duration::from_millis(100);
/// How many bytes it says beside its name at the most: they are in memory at once.
const MOST: usize = 100_000_000;

/// Run a web server that answers with its name
///
/// It answers every request so. Where `echo` is asked for behind the path's `?`, the request's first line, its client's
/// address and its headers follow; where `bytes=N` is, N bytes more, 100 MB at the most, by which a path can be measured.
/// It is there in every container.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// What it answers
    name: String,
    /// Its TCP port
    #[arg(short, long, default_value_t = 8000)]
    port: u16,
}

pub(crate) fn run(args: Args) -> anyhow::Result<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting the runtime")?;
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, args.port)).await;
        let listener = listener.with_context(|| format!("listening at port {}", args.port))?;
        output::say(format_args!("{} listens at port {}", args.name, args.port));
        loop {
            match listener.accept().await {
                Ok((stream, client)) => {
                    let name = args.name.clone();
                    let service = service_fn(move |request| {
                        let answer = answer(&name, client, &request);
                        async { Ok::<_, Infallible>(answer) }
                    });
                    // A client that goes away is no business of anybody else's.
                    tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
                }
                Err(_) => tokio::time::sleep(REST).await,
            }
        }
    })
}

fn answer(name: &str, client: SocketAddr, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let mut text = format!("{name}\n");
    let asked = request.uri().query().unwrap_or_default();
    if asked.split('&').any(|word| word == "echo") {
        // Writing to a String cannot fail.
        let _ = write!(text, "{} {} {:?}\nclient {client}\n", request.method(), request.uri(), request.version());
        for (header, value) in request.headers() {
            let _ = writeln!(text, "{header}: {}", String::from_utf8_lossy(value.as_bytes()));
        }
    }
    let bytes = asked.split('&').find_map(|word| word.strip_prefix("bytes=")?.parse().ok());
    text.push_str(&".".repeat(bytes.unwrap_or(0).min(MOST)));
    Response::new(Full::new(text.into()))
}
