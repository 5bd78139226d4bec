//! Client and server over a socket pair, with a service that does what a test asks.

use std::io::{BufRead, BufReader, Read, Write};
use std::time::Duration;

use knetsim_model::inventory::Inventory;
use knetsim_model::protocol::{Hello, LoadChapter, PROTOCOL, RunLab};
use knetsim_model::{Event, Operation, Owner};
use proptest::prelude::*;
use tokio::sync::broadcast;

use super::*;
use crate::control::client::Client;

/// Answers `exec` by what its command says; tells when a call's client has gone.
struct Fake {
    gone: broadcast::Sender<u64>,
}

impl Service for Fake {
    async fn call(&self, mut call: Incoming) -> Result<Reply, Failure> {
        let Request::Exec { command, .. } = call.request else {
            return match call.request {
                Request::Inspect => Ok(Reply::Inventory(Inventory::default())),
                Request::Submit { .. } => {
                    let event = Event::Created { kind: "worker".into(), name: "C0w4".into() };
                    call.answers.send(Reply::Event(event), vec![]).await;
                    Ok(Reply::Done)
                }
                _ => Ok(Reply::Done),
            };
        };
        match command.first().map(String::as_str) {
            Some("hello") => {
                let mut out = std::fs::File::from(call.descriptors.remove(1));
                out.write_all(b"hello").unwrap();
                Ok(Reply::Exited { status: 7 })
            }
            Some("terminal") => {
                call.answers.send(Reply::Terminal, vec![std::fs::File::open("/dev/null").unwrap().into()]).await;
                Ok(Reply::Exited { status: 0 })
            }
            Some("wait") => tokio::select! {
                Some(signal) = call.signals.recv() => Ok(Reply::Exited { status: 128 + signal }),
                () = call.answers.gone() => { self.gone.send(1).unwrap(); Ok(Reply::Done) }
            },
            _ => panic!("as asked"),
        }
    }
}

fn exec(command: &str, tty: bool) -> Request {
    let target = "C0w1".parse().unwrap();
    let tty = tty.then_some((24, 80));
    Request::Exec { target, command: vec![command.to_owned()], env: Default::default(), tty, background: false }
}

/// A server with one connection, over a socket pair.
fn server() -> (std::os::unix::net::UnixStream, broadcast::Receiver<u64>, tokio::task::JoinHandle<Result<(), WireError>>)
{
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    let (gone, gone_calls) = broadcast::channel(8);
    let theirs = UnixStream::from_std(theirs).unwrap();
    let task = tokio::spawn(converse(theirs, Arc::new(Fake { gone }), Arc::new(Notify::new())));
    (ours, gone_calls, task)
}

async fn client() -> (Client, broadcast::Receiver<u64>) {
    let (ours, gone, _) = server();
    (Client::greet(ours).await.unwrap(), gone)
}

/// Sends bytes as they are, and reads what comes back until the server ends the connection or nothing more comes.
async fn raw(bytes: Vec<u8>) -> String {
    let (mut ours, _gone, task) = server();
    ours.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let reader = tokio::task::spawn_blocking(move || {
        // The server may end the connection before it has read all.
        let _ = ours.write_all(&bytes);
        let _ = ours.shutdown(std::net::Shutdown::Write);
        let mut text = Vec::new();
        let _ = ours.read_to_end(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    });
    let text = reader.await.unwrap();
    // A panic in the server would show here.
    let _ = task.await.unwrap();
    text
}

fn with_hello(rest: &[u8]) -> Vec<u8> {
    let mut bytes = serde_json::to_vec(&wire::hello()).unwrap();
    bytes.push(b'\n');
    bytes.extend_from_slice(rest);
    bytes
}

#[tokio::test]
async fn descriptors_travel_both_ways() {
    let (mut client, _gone) = client().await;
    let (mut from, to) = std::io::pipe().unwrap();
    let null = std::fs::File::open("/dev/null").unwrap();
    let call = client.send(exec("hello", false), &[null.as_fd(), to.as_fd(), null.as_fd()]).await.unwrap();
    drop(to);
    let (answer, _) = client.receive().await.unwrap();
    assert_eq!(answer, Answer { id: call, reply: Reply::Exited { status: 7 } });
    let mut text = String::new();
    from.read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello");

    client.send(exec("terminal", true), &[]).await.unwrap();
    let (answer, descriptors) = client.receive().await.unwrap();
    assert_eq!((answer.reply, descriptors.len()), (Reply::Terminal, 1));
}

#[tokio::test]
async fn calls_run_beside_each_other_and_take_signals() {
    let (mut client, _gone) = client().await;
    let waiting = client.send(exec("wait", true), &[]).await.unwrap();
    assert_eq!(client.inspect().await.unwrap(), Inventory::default());
    let mut events = Vec::new();
    let worker = "C0w4".parse().unwrap();
    client.submit(Operation::CreateWorker { worker }, |event| events.push(event)).await.unwrap();
    assert_eq!(events.len(), 1);

    let asked = client.ask(Request::Signal { call: 99, signal: 2 }, |_, _| {}).await.unwrap_err();
    assert_eq!(asked.downcast::<Failure>().unwrap().code, Code::NotFound);
    let signal = client.send(Request::Signal { call: waiting, signal: 2 }, &[]).await.unwrap();
    let mut answers = [client.receive().await.unwrap().0, client.receive().await.unwrap().0];
    answers.sort_by_key(|answer| answer.id);
    assert_eq!(answers[0], Answer { id: waiting, reply: Reply::Exited { status: 130 } });
    assert_eq!(answers[1], Answer { id: signal, reply: Reply::Done });
}

#[tokio::test]
async fn a_call_learns_that_its_client_has_gone() {
    let (mut client, mut gone) = client().await;
    client.send(exec("wait", true), &[]).await.unwrap();
    client.inspect().await.unwrap();
    drop(client);
    tokio::time::timeout(Duration::from_secs(5), gone.recv()).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_panic_is_an_answer() {
    let (mut client, _gone) = client().await;
    let error = client.ask(exec("panic", true), |_, _| {}).await.unwrap_err();
    assert_eq!(error.downcast::<Failure>().unwrap().code, Code::Failed);
    client.inspect().await.unwrap();
}

#[tokio::test]
async fn malformed_lines_are_answered_and_the_connection_goes_on() {
    let lines =
        b"nonsense\n{\"id\":7,\"request\":{\"kind\":\"dance\"}}\n{\"id\":8,\"request\":{\"kind\":\"inspect\"}}\n";
    let (mut ours, _gone, _task) = server();
    ours.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    ours.write_all(&with_hello(lines)).unwrap();
    let read = || BufReader::new(ours).lines().skip(1).take(3).collect::<Result<Vec<_>, _>>().unwrap();
    let answers = tokio::task::spawn_blocking(read).await.unwrap();
    let answers: Vec<Answer> = answers.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.iter().map(|answer| answer.id).collect::<Vec<_>>(), [0, 7, 8]);
    let message = |answer: &Answer| match &answer.reply {
        Reply::Failed(failure) if failure.code == Code::Invalid => failure.message.clone(),
        other => panic!("{other:?}"),
    };
    assert!(message(&answers[0]).contains("not a call"));
    assert!(message(&answers[1]).contains("unknown variant `dance`"));
}

#[tokio::test]
async fn too_long_a_line_and_missing_descriptors_end_the_connection() {
    let mut call = serde_json::to_vec(&Call { id: 1, request: exec("hello", false) }).unwrap();
    call.push(b'\n');
    for bytes in [vec![b' '; wire::MAX_LINE + 1], call] {
        let (mut ours, _gone, task) = server();
        let writer = tokio::task::spawn_blocking(move || {
            // It ends before it has read all; until then the connection stays open on this side.
            let _ = ours.write_all(&with_hello(&bytes));
            ours
        });
        let ended = tokio::time::timeout(Duration::from_secs(5), task).await.unwrap().unwrap();
        assert!(matches!(ended, Err(WireError::TooLong | WireError::Descriptors(0, 3))), "{ended:?}");
        writer.await.unwrap();
    }
}

#[tokio::test]
async fn surplus_descriptors_end_the_connection_and_are_closed() {
    let null = std::fs::File::open("/dev/null").unwrap();
    for (request, surplus) in [(exec("hello", false), 4), (exec("terminal", true), 1), (Request::Inspect, 2)] {
        let (ours, _gone, task) = server();
        ours.set_nonblocking(true).unwrap();
        let (mut receiver, mut sender) = wire::split(UnixStream::from_std(ours).unwrap());
        let (mut from, to) = std::io::pipe().unwrap();
        let mut beside = vec![null.as_fd(); surplus];
        beside[surplus - 1] = to.as_fd();
        sender.send(&wire::hello(), &[]).await.unwrap();
        sender.send(&Call { id: 1, request }, &beside).await.unwrap();
        let ended = tokio::time::timeout(Duration::from_secs(5), task).await.unwrap().unwrap();
        assert!(matches!(ended, Err(WireError::Descriptors(there, _)) if there == surplus), "{ended:?}");
        wire::greeted(&mut receiver).await.unwrap();
        assert!(receiver.line().await.unwrap().is_none(), "no answer");
        drop(to);
        // The end of the pipe says that no copy is left.
        assert_eq!(from.read(&mut [0]).unwrap(), 0);
    }
}

#[tokio::test]
async fn each_line_has_its_own_descriptors_however_they_are_read() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (_, mut sender) = wire::split(ours);
    let (mut receiver, _) = wire::split(theirs);
    let null = std::fs::File::open("/dev/null").unwrap();
    let lines =
        [("a".to_owned(), 0), ("b".repeat(40_000), 3), ("c".to_owned(), 0), ("d".to_owned(), 1), ("e".into(), 2)];
    for (line, count) in &lines {
        sender.send(line, &vec![null.as_fd(); *count]).await.unwrap();
    }
    for (line, count) in &lines {
        let received = receiver.line().await.unwrap().unwrap();
        assert_eq!(received.line.len(), line.len() + 2);
        assert_eq!(received.descriptors(*count).unwrap().len(), *count);
    }
    // Lines that were written at once: they are the last one's.
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = rustix::net::SendAncillaryBuffer::new(&mut space);
    let beside = [null.as_fd()];
    control.push(rustix::net::SendAncillaryMessage::ScmRights(&beside));
    let bytes = [std::io::IoSlice::new(b"1\n2\n")];
    rustix::net::sendmsg(&ours, &bytes, &mut control, rustix::net::SendFlags::empty()).unwrap();
    theirs.set_nonblocking(true).unwrap();
    let (mut receiver, _) = wire::split(UnixStream::from_std(theirs).unwrap());
    for count in [0, 1] {
        assert_eq!(receiver.line().await.unwrap().unwrap().descriptors(count).unwrap().len(), count);
    }
}

#[tokio::test]
async fn calls_have_numbers_of_their_own_and_are_not_too_many() {
    let (mut client, _gone) = client().await;
    for _ in 0..MAX_CALLS {
        client.send(exec("wait", true), &[]).await.unwrap();
    }
    let refused = client.ask(exec("wait", true), |_, _| {}).await.unwrap_err();
    assert_eq!(refused.downcast::<Failure>().unwrap().code, Code::Limit);
    // One that has ended makes room.
    client.send(Request::Signal { call: 1, signal: 15 }, &[]).await.unwrap();
    while client.receive().await.unwrap().0.id != 1 {}
    client.inspect().await.unwrap();
}

#[tokio::test]
async fn another_version_is_refused_with_both_named() {
    let (mut ours, _gone, task) = server();
    let theirs = Hello { knetsim: "9.9".to_owned(), protocol: PROTOCOL + 1, inside: false };
    ours.write_all(format!("{}\n", serde_json::to_string(&theirs).unwrap()).as_bytes()).unwrap();
    let error = task.await.unwrap().unwrap_err().to_string();
    assert!(error.contains("knetsim 9.9") && error.contains(env!("CARGO_PKG_VERSION")), "{error}");
}

#[tokio::test]
async fn down_is_answered_and_ends_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let (gone, _) = broadcast::channel(8);
    let serving = tokio::spawn(serve(UnixListener::bind(&path).unwrap(), Arc::new(Fake { gone })));
    let connect = || std::os::unix::net::UnixStream::connect(&path).unwrap();
    let (mut one, mut other) = (Client::greet(connect()).await.unwrap(), Client::greet(connect()).await.unwrap());
    other.inspect().await.unwrap();
    assert_eq!(one.ask(Request::Down, |_, _| {}).await.unwrap(), Reply::Done);
    tokio::time::timeout(Duration::from_secs(5), serving).await.unwrap().unwrap();
}

fn line() -> impl Strategy<Value = Vec<u8>> {
    let call = Call {
        id: 3,
        request: Request::Submit {
            operation: Operation::CreateWorker { worker: "C0w4".parse().unwrap() },
            owner: Owner::User,
        },
    };
    let valid = serde_json::to_vec(&call).unwrap();
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..200),
        "[\\[\\]{}:,\"a-z0-9\\\\ ]{0,80}".prop_map(String::into_bytes),
        // A true call with one byte changed.
        (0..valid.len(), any::<u8>()).prop_map(move |(at, byte)| {
            let mut bytes = valid.clone();
            bytes[at] = byte;
            bytes
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn whatever_comes_never_makes_the_server_panic(lines in proptest::collection::vec(line(), 0..6), greeted in any::<bool>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let rest = lines.join(&b'\n');
        runtime.block_on(raw(if greeted { with_hello(&rest) } else { rest }));
    }
}

#[tokio::test]
async fn somebody_inside_gives_commands_and_no_labs() {
    let (client, _, _) = server();
    client.set_nonblocking(true).unwrap();
    let (mut receiver, mut sender) = wire::split(UnixStream::from_std(client.try_clone().unwrap()).unwrap());
    sender.send(&Hello { inside: true, ..wire::hello() }, &[]).await.unwrap();
    wire::greeted(&mut receiver).await.unwrap();
    let mut client = Client::over(client).unwrap();
    client.inspect().await.unwrap();
    let null = std::fs::File::open("/dev/null").unwrap();
    let load = |cached| Request::LoadChapter(LoadChapter { cached, ..LoadChapter::default() });
    let run = |cached| Request::Run(RunLab { cached, ..RunLab::default() });
    for request in [load(true), load(false), run(true), run(false), Request::Solve { task: "a".into() }, Request::Down]
    {
        let beside = vec![null.as_fd(); request.descriptors()];
        client.send(request.clone(), &beside).await.unwrap();
        let (answer, _) = client.receive().await.unwrap();
        let Reply::Failed(failure) = answer.reply else { panic!("{request:?}: {answer:?}") };
        assert_eq!(failure.code, Code::Denied, "{request:?}");
    }
    client.inspect().await.unwrap();
}
