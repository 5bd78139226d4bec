//! A chapter whose checks try what no check may.

use knetsim_sdk::{
    AnswerKind, Chapter, Command, Error, Lab, NewCapture, Outline, Place, Result, Section, Task, Tries, Verdict,
};

struct Hostile;
knetsim_sdk::chapter!(Hostile);

impl Chapter for Hostile {
    #[expect(clippy::panic, reason = "what a check that panics leaves is what is tried")]
    fn outline() -> Outline {
        let section = Section::new("Hostile", "")
            .task(changes())
            .task(task("endless").check(|_| endless()).solve(|_| endless()))
            .task(task("panics").check(|_| panic!("these words")))
            .task(task("remembers").check(|lab| lab.remember("a", 1).map(|()| Verdict::passed())).solve(remember_more))
            .task(task("recalls").check(recalls))
            .task(task("says-escape").check(|_| Ok(Verdict::missing("a\u{1b}[2Jb"))))
            .task(task("looks-for-none").check(|lab| lab.place("box/none").observe().map(|_| Verdict::passed())))
            .task(task("probes").probes().check(|lab| lab.place("box").probe().map(|_| Verdict::passed())))
            .task(task("probes-beside").probes().check(sends_from_beside))
            .task(task("probes-endlessly").probes().check(|lab| {
                let _prober = lab.place("C0w1").probe()?;
                loop {
                    std::hint::black_box(());
                }
            }))
            .task(task("probes-everywhere").probes().check(|lab| {
                let probers: Result<Vec<_>> = (0..17).map(|_| lab.place("C0w1").probe()).collect();
                probers.map(|_| Verdict::passed())
            }))
            .task(task("always-green").check(|_| Ok(Verdict::passed())).solve(|_| Ok(())))
            .task(task("wrong-scripts").check(lo_is_down).solve(|lab| lab.set_link("box:lo", false)))
            .task(task("starts-one").solve(|lab| lab.place("box").start(["sleep", "1000"]).map(drop)))
            .task(task("one-too-many").solve(|lab| lab.create_scratch("box2").map(drop)))
            .task(Task::question("number", "T", "", AnswerKind::Number).answer(|_| Ok(100)));
        Outline::new("Hostile", 1).section(section)
    }

    fn setup(lab: &Lab) -> Result<()> {
        lab.create_cluster("C0", 1)?;
        lab.create_scratch("box")?;
        lab.remember("kept", "since setup")
    }
}

/// Pings from beside a container, by which the container itself neither sends nor learns anything.
fn sends_from_beside(lab: &Lab) -> Result<Verdict> {
    let own = lab.place("C0w1.c1").observe()?.addresses()?;
    let own = own.iter().find(|own| own.interface == "eth0").map(|own| own.address.clone()).unwrap_or_default();
    let seen = lab.capture(NewCapture::new("C0w1.c1:eth0").host(own))?;
    let prober = lab.place("C0w1.c1").probe()?;
    let mut verdict = Verdict::passed();
    for to in ["C0w1.c2", "C0w2.c3", "C0w1", "C0w2"] {
        let ping = prober.ping(to, Tries::times(2))?;
        verdict = verdict.require(ping.all_answered(), format!("{to}: {ping:?}"));
    }
    let refused = prober.tcp("C0w2.c3", 80, Tries::times(1))?.error;
    verdict = verdict.require(refused.as_deref() == Some("Connection refused"), format!("{refused:?}"));
    let passed = seen.read()?.passed;
    Ok(verdict.require(passed == 0, format!("{passed} packets have passed c1")))
}

fn task(name: &str) -> Task {
    Task::new(name, "A task", "")
}

fn lo_is_down(lab: &Lab) -> Result<Verdict> {
    let down = lab.place("box").observe()?.link("lo")?.is_some_and(|lo| !lo.up);
    Ok(Verdict::passed().require(down, "lo is up"))
}

fn endless<T>() -> Result<T> {
    loop {
        std::hint::black_box(());
    }
}

/// What each attempt to change something came to.
fn changes() -> Task {
    task("changes").check(|lab| {
        let attempts: [(&str, Result<()>); 12] = [
            ("cluster", lab.create_cluster("C1", 1).map(drop)),
            ("open cluster", lab.cluster("C0").map(drop)),
            ("scratch", lab.create_scratch("box3").map(drop)),
            ("open worker", lab.worker("C0w1").map(drop)),
            ("link", lab.set_link("C0w1:eth0", false)),
            ("container", lab.create_container("C0w1.c1").map(drop)),
            ("run", lab.place("box").run(["true"]).map(drop)),
            ("run as a learner", lab.place("box").run(Command::new(["true"]).with_namespaces()).map(drop)),
            ("start", lab.place("box").start(["true"]).map(drop)),
            ("probe", lab.place("box").probe().map(drop)),
            ("capture", lab.capture(NewCapture::new("box:eth0")).and_then(|capture| capture.keep("c"))),
            ("remember", lab.remember("a", "b")),
        ];
        let mut verdict = Verdict::passed();
        for (what, attempt) in attempts {
            let code = attempt.map_or_else(|error| format!("{:?}", error.code()), |()| "done".to_owned());
            verdict = verdict.require(code == "Denied", format!("{what}: {code}"));
        }
        Ok(verdict)
    })
}

fn recalls(lab: &Lab) -> Result<Verdict> {
    match lab.recall::<String>("kept")? {
        Some(kept) => Ok(Verdict::missing(kept)),
        None => Err(Error::new("nothing was kept")),
    }
}

fn remember_more(lab: &Lab) -> Result<()> {
    lab.remember("much", "x".repeat(64 << 10))
}
