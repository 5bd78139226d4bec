//! A learner's way through a chapter: on a terminal, and line by line.

#![allow(clippy::unwrap_used, reason = "these are parts of tests")]

mod common;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::LazyLock;
use std::time::Duration;

use common::terminal::Terminal;
use common::{Home, Ran};
use knetsim_testing::cli::until;
use serde_json::{Value, json};

/// The chapter of tests/lesson, built as its author would.
static LESSON: LazyLock<String> = LazyLock::new(|| build("tests/lesson"));

fn build(folder: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(folder);
    let built = knetsim_lab::package::build(&folder, None).unwrap();
    built.path.to_str().unwrap().to_owned()
}

fn progress(home: &Home) -> Value {
    let file = home.0.path().join("data/knetsim/progress.json");
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

/// Where a chapter's file comes from, as progress is kept by it.
fn origin(file: &str) -> String {
    format!("file:{}", Path::new(file).canonicalize().unwrap().display())
}

/// What came of the tasks of the tests' chapter.
fn tasks(home: &Home) -> Value {
    progress(home)["chapters"][origin(&LESSON)]["lesson"]["tasks"].take()
}

/// Types lines to `learn --plain`, and gives what it said.
fn line_by_line(home: &Home, arguments: &[&str], lines: &str) -> Ran {
    let mut learn = home.command(&["learn", "--plain"]);
    learn.args(arguments).arg(&*LESSON).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut learn = learn.spawn().unwrap();
    // One that refuses to begin reads nothing.
    let _ = learn.stdin.take().unwrap().write_all(lines.as_bytes());
    Ran::from(learn.wait_with_output().unwrap())
}

#[test]
fn a_chapter_from_its_beginning_to_its_end() {
    let home = Home::new();
    let mut learner = Terminal::open(&home, &["learn", "--yes", &LESSON]);
    learner.sees("lesson 0.1.0 asks for");
    learner.sees("○ Make a namespace");
    learner.sees("box has no namespace mine yet");

    // What is done in another terminal turns green here.
    home.must(&["exec", "box", "--", "ip", "netns", "add", "mine"]);
    learner.sees("1 of 3 tasks");
    learner.sees("✓ Make a namespace");

    // A shell, where Ctrl-C and Ctrl-D are the shell's.
    learner.press("t");
    learner.sees("A shell on:");
    learner.press("box\r");
    learner.sees("box:~#");
    learner.press("\u{3}");
    learner.sees("box:~#");
    // What is undone before the shell ends has been seen.
    learner.press("ip -n mine link set lo up\r");
    until("it is seen while the shell is open", Duration::from_secs(20), || {
        let listed: Value = serde_json::from_str(&home.must(&["learn", "-o", "json"])).unwrap();
        listed.as_array().unwrap().iter().any(|row| row["solved"] == 2).then_some(())
    });
    learner.press("ip -n mine link set lo down\r\u{4}");
    learner.sees("✓ Bring its loopback up");

    // Commands of the text, by their number.
    learner.press("1");
    learner.sees("box# ip netns list");
    learner.sees("Done. Any key");
    learner.press(" ");
    learner.sees("○ Its number");

    // A wrong answer, an answer of the wrong kind, the solution, the right answer.
    learner.press("a12\r");
    learner.sees("12 is not it");
    learner.press("amany\r");
    learner.sees("no whole number is in many");
    // Two lines of one paste, in two reads, as another program runs in between: only a key submits them.
    learner.press("\u{15}\u{1b}[200~1\r");
    home.must(&["ls"]);
    learner.press("2\r\u{1b}[201~");
    learner.sees("1 2");
    learner.press("\r");
    learner.sees("more than one whole number is in that: 1, 2");
    learner.press("\u{1b}");
    learner.sees("q quit");
    learner.press("s");
    learner.sees("Show the answer to: Its number?");
    learner.press("y");
    let shown = loop {
        let shown = learner.sees("The answer: ");
        if let Some((number, _)) = shown.split_once('\n') {
            break number.trim().to_owned();
        }
    };
    // As `readlink` prints it.
    learner.press(&format!("anet:[{shown}]\r"));
    learner.sees("The whole chapter is solved");
    learner.press("q");
    assert_eq!(learner.ended(), Some(0), "{}", learner.text());

    assert_eq!(home.must(&["ls", "-o", "name"]), "", "a sandbox is left");
    let solved = json!({"make": "solved", "loopback": "solved", "inode": "solved"});
    assert_eq!(tasks(&home), solved);
}

#[test]
fn a_reset_makes_a_new_sandbox_and_keeps_what_is_solved() {
    let home = Home::new();
    let mut learner = Terminal::open(&home, &["learn", "--yes", &LESSON]);
    learner.sees("box has no namespace mine yet");
    home.must(&["exec", "box", "--", "ip", "netns", "add", "mine"]);
    learner.sees("✓ Make a namespace");
    home.must(&["exec", "box", "--", "ip", "netns", "add", "other"]);
    let mut shell = Terminal::open(&home, &["shell", "box"]);
    shell.sees("box:~#");

    learner.press("r");
    learner.sees("A new sandbox?");
    learner.press("y");
    shell.sees("the sandbox ended the connection");
    shell.ended();
    learner.sees("✓ Make a namespace");
    learner.sees("lo is down in mine");
    assert_eq!(home.must(&["exec", "box", "ip", "netns", "list"]), "mine\n", "what others build on is there again");

    learner.press("r");
    learner.sees("A new sandbox?");
    learner.press("a");
    learner.sees("box has no namespace mine yet");
    assert_eq!(tasks(&home), json!({}));
    learner.press("q");
    assert_eq!(learner.ended(), Some(0));
}

#[test]
fn coming_back_makes_again_what_solved_tasks_had_made() {
    let home = Home::new();
    let ran = line_by_line(&home, &["--yes"], "solution\nyes\nsolution\nyes\nquit\n");
    assert!(ran.out.contains("(2 of 3)"), "{}", ran.out);

    // Nothing that is open builds on the loopback.
    let mut learner = Terminal::open(&home, &["learn", "--yes", &LESSON]);
    learner.sees("2 of 3 tasks");
    let lo = home.must(&["exec", "box", "--", "ip", "-n", "mine", "-br", "link", "show", "lo"]);
    assert!(lo.contains("UP"), "{lo}");
    learner.press("q");
    assert_eq!(learner.ended(), Some(0));

    let steps = line_by_line(&home, &["--yes"], "list\n");
    assert!(steps.err.contains("[2/2] Done again, as it is solved: Bring its loopback up"), "{}", steps.err);
    assert!(steps.out.contains("solved   section 1: Bring its loopback up"), "{}", steps.out);
}

#[test]
fn coming_back_to_linked_clusters_links_them() {
    let home = Home::new();
    let file = build("labs/c5");
    let data = home.0.path().join("data/knetsim");
    std::fs::create_dir_all(&data).unwrap();
    let tasks = json!({"link": "solved", "port": "solved", "expose": "solved", "other-way": "solved"});
    let kept = json!({"version": 2, "chapters": {origin(&file): {"c5": {"section": 3, "tasks": tasks}}}});
    std::fs::write(data.join("progress.json"), kept.to_string()).unwrap();
    let mut learner = Terminal::open(&home, &["learn", "--yes", &file]);
    learner.sees("4 of 11 tasks");
    for (from, at, says) in [("C0w2", "C0w1:1028", "REPORTS-"), ("C1w2", "C1w1:1028", "BACKEND-")] {
        let said = home.must(&["exec", from, "--", "curl", "-s", "--max-time", "5", at]);
        assert!(said.starts_with(says), "{said}");
    }
    learner.press("q");
    assert_eq!(learner.ended(), Some(0), "{}", learner.text());
}

#[test]
fn what_can_not_be_made_again_is_to_be_done_again() {
    let home = Home::new();
    line_by_line(&home, &["--yes"], "solution\nyes\nsolution\nyes\nquit\n");
    let ran = line_by_line(&home, &["--yes", "--deny", "exec-node"], "list\n");
    assert_eq!(ran.status, 0, "{}", ran.err);
    for words in [
        "0 of 3 tasks solved",
        "To be done again in this sandbox: Make a namespace, Bring its loopback up",
        "open     section 1: Make a namespace",
        "could not be done again in this sandbox:",
        "waits    section 1: Bring its loopback up (after: Make a namespace)",
    ] {
        assert!(ran.out.contains(words), "{words} is not in\n{}", ran.out);
    }
    assert_eq!(tasks(&home), json!({"make": "solved", "loopback": "solved"}));
    assert!(line_by_line(&home, &["--yes"], "quit\n").out.contains("2 of 3 tasks solved"), "another one can do it");
}

/// The chapter of the tests under another path.
fn strangers(home: &Home) -> String {
    let file = home.0.path().join("strangers.wasm");
    std::fs::copy(&*LESSON, &file).unwrap();
    file.to_str().unwrap().to_owned()
}

#[test]
fn a_strangers_chapter_has_progress_of_its_own() {
    let home = Home::new();
    let file = strangers(&home);
    let mut learn = home.command(&["learn", "--plain", "--yes", &file]);
    learn.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut learn = learn.spawn().unwrap();
    learn.stdin.take().unwrap().write_all(b"solution\nyes\nquit\n").unwrap();
    let ran = Ran::from(learn.wait_with_output().unwrap());
    assert!(ran.out.contains("(1 of 3)"), "{}\n{}", ran.out, ran.err);

    let ran = line_by_line(&home, &["--yes"], "solution\nyes\nsolution\nyes\nquit\n");
    assert!(ran.out.contains("(2 of 3)"), "{}\n{}", ran.out, ran.err);

    let chapters = &progress(&home)["chapters"];
    let origin = origin(&file);
    assert_eq!(chapters[&origin]["lesson"]["tasks"], json!({"make": "solved"}));
    assert_eq!(chapters["knetsim"], Value::Null);
    assert_eq!(tasks(&home), json!({"make": "solved", "loopback": "solved"}));
    let listed: Value = serde_json::from_str(&home.must(&["learn", "-o", "json"])).unwrap();
    let listed = listed.as_array().unwrap().iter().find(|row| row["from"] == origin);
    assert_eq!(listed.map(|row| (&row["name"], &row["solved"])), Some((&json!("lesson"), &json!(1))));
    let table = home.must(&["learn"]);
    assert!(table.contains("Other chapters that you have begun") && table.contains(&origin), "{table}");
}

#[test]
fn progress_that_is_not_understood_is_kept_aside() {
    let home = Home::new();
    let data = home.0.path().join("data/knetsim");
    std::fs::create_dir_all(&data).unwrap();
    std::fs::write(data.join("progress.json"), "").unwrap();
    let listed = home.run(&["learn"]);
    assert!(listed.err.contains("progress.json: it is damaged"), "{}", listed.err);
    let ran = line_by_line(&home, &["--yes"], "solution\nyes\nquit\n");
    assert!(ran.status == 0 && ran.err.contains("It is kept as"), "{}", ran.err);
    assert_eq!(std::fs::read(data.join("progress.json.1")).unwrap(), b"");
    assert_eq!(tasks(&home), json!({"make": "solved"}));
}

#[test]
fn a_chapter_goes_on_where_nothing_can_be_kept() {
    let home = Home::new();
    let data = home.0.path().join("data");
    std::fs::write(&data, "no folder").unwrap();
    let ran = line_by_line(&home, &["--yes"], "solution\nyes\nsolution\nyes\nreset\nyes\nquit\n");
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert_eq!(ran.err.matches("What you solve is not kept").count(), 1, "{}", ran.err);
    assert!(ran.out.contains("(2 of 3)") && ran.out.contains("writing "), "a reset would forget: {}", ran.out);

    // The same when it begins in the middle: it is said once.
    std::fs::remove_file(&data).unwrap();
    let mut learner = Terminal::open(&home, &["learn", "--yes", &LESSON]);
    learner.sees("box has no namespace mine yet");
    std::fs::rename(data.join("knetsim"), data.join("gone")).unwrap();
    std::fs::write(data.join("knetsim"), "no folder").unwrap();
    home.must(&["exec", "box", "--", "ip", "netns", "add", "mine"]);
    learner.sees("What you solve is not kept");
    home.must(&["exec", "box", "--", "ip", "-n", "mine", "link", "set", "lo", "up"]);
    learner.sees("2 of 3 tasks");
    learner.press("q");
    assert_eq!(learner.ended(), Some(0));
}

#[test]
fn a_chapter_goes_on_where_the_home_is_full_or_read_only() {
    let home = Home::new();
    for options in ["ro", "size=8k", "nr_inodes=1"] {
        let script = format!(
            "mkdir -p $XDG_DATA_HOME && mount -t tmpfs -o mode=700,{options} none $XDG_DATA_HOME
             head -c 1M /dev/zero 2>&- > $XDG_DATA_HOME/full
             printf 'solution\\nyes\\nquit\\n' | exec \"$@\""
        );
        let learn = home.command(&["learn", "--plain", "--yes", &LESSON]);
        let mut unshare = std::process::Command::new("unshare");
        if !nix::unistd::geteuid().is_root() {
            unshare.args(["--user", "--map-current-user", "--keep-caps"]);
        }
        unshare.args(["--mount", "sh", "-c", &script, "sh"]).arg(learn.get_program()).args(learn.get_args());
        for (name, value) in learn.get_envs() {
            unshare.env(name, value.unwrap_or_default());
        }
        let ran = Ran::from(unshare.env_remove("KNETSIM_NAME").output().unwrap());
        assert_eq!(ran.status, 0, "{options}: {}", ran.err);
        assert_eq!(ran.err.matches("What you solve is not kept").count(), 1, "{options}: {}", ran.err);
        assert!(ran.out.contains("(1 of 3)"), "{options}: {}", ran.out);
    }
}

/// The same program at another place.
fn program_in(folder: &Path) -> PathBuf {
    let program = folder.join("knetsim");
    std::fs::create_dir_all(folder).unwrap();
    std::fs::hard_link(env!("CARGO_BIN_EXE_knetsim"), &program)
        .or_else(|_| std::fs::copy(env!("CARGO_BIN_EXE_knetsim"), &program).map(drop))
        .unwrap();
    program
}

#[test]
fn only_the_courses_own_chapters_come_with_knetsim() {
    let home = Home::new();
    let program = program_in(&home.0.path().join("target/debug"));
    let run = |arguments: &[&str]| {
        let mut command = std::process::Command::new(&program);
        for (name, value) in home.command(&[]).get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        Ran::from(command.args(arguments).env_remove("KNETSIM_NAME").stdin(Stdio::null()).output().unwrap())
    };
    let place = |file: &str, at: &str| {
        let at = home.0.path().join("target").join(at);
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        std::fs::copy(file, at).unwrap();
    };
    // Where `lab build` leaves what it built, and another name, and another chapter's name.
    let c1 = build("labs/c1");
    for at in ["labs/c1.wasm", "labs/lesson.wasm"] {
        place(&c1, at);
    }
    place(&LESSON, "chapters/lesson.wasm");
    for chapter in ["c1", "lesson"] {
        let ran = run(&["learn", chapter]);
        assert!(ran.status == 3 && ran.err.contains("there is no chapter"), "{chapter}: {}", ran.err);
    }
    place(&LESSON, "chapters/c2.wasm");
    let listed = run(&["learn", "-o", "name"]);
    assert!(listed.status == 3 && listed.err.contains("it calls itself `lesson`"), "{}{}", listed.out, listed.err);
    let asked = run(&["learn", "c2"]);
    assert!(asked.status != 0 && asked.err.contains("was granted nothing"), "{}", asked.err);
    assert_eq!(home.must(&["ls", "-o", "name"]), "");

    place(&c1, "chapters/c1.wasm");
    assert_eq!(run(&["learn", "-o", "name"]).out, "c1\n");
    let listed: Value = serde_json::from_str(&run(&["learn", "-o", "json"]).out).unwrap();
    let c1 = &listed[0];
    assert_eq!((&c1["name"], &c1["from"], &c1["solved"]), (&json!("c1"), &json!("knetsim"), &json!(0)));
    assert!(c1["tasks"].is_u64() && c1["minutes"].is_u64(), "{listed}");
    let by_path = run(&["learn", home.0.path().join("target/chapters/c1.wasm").to_str().unwrap()]);
    assert!(by_path.err.contains("was granted nothing"), "a file that is named is asked about: {}", by_path.err);
}

#[test]
fn a_reset_asks_about_another_file_and_not_about_the_same() {
    let home = Home::new();
    let file = strangers(&home);
    let mut learner = Terminal::open(&home, &["learn", &file]);
    learner.sees("Grant this? [y/N]");
    learner.press("y\r");
    learner.sees("box has no namespace mine yet");
    let reset = |learner: &mut Terminal| {
        learner.press("r");
        learner.sees("A new sandbox?");
        learner.press("y");
    };
    reset(&mut learner);
    learner.sees("box has no namespace mine yet");
    assert_eq!(learner.text().matches("Grant this?").count(), 1, "{}", learner.text());
    // A section of its own that says nothing: another file all the same.
    let mut changed = std::fs::read(&file).unwrap();
    changed.extend(b"\0\x02\x01x");
    std::fs::write(&file, changed).unwrap();
    reset(&mut learner);
    learner.sees("Grant this? [y/N]");
    learner.press("n\r");
    assert_ne!(learner.ended(), Some(0), "{}", learner.text());
}

#[test]
fn a_learner_sets_limits_as_a_message_advises() {
    let home = Home::new();
    let ran = line_by_line(&home, &["--yes", "--limit", "workers=0"], "quit\n");
    assert!(ran.status != 0 && ran.err.contains("--limit workers="), "{}{}", ran.out, ran.err);
    let ran = line_by_line(&home, &["--yes", "--limit", "workers=2"], "quit\n");
    assert_eq!(ran.status, 0, "{}", ran.err);
}

#[test]
fn where_no_chapter_is_built_it_says_what_to_do() {
    let home = Home::new();
    // No chapters lie beside it.
    let program = program_in(home.0.path());
    for arguments in [&["learn"][..], &["learn", "-o", "json"], &["learn", "c1"]] {
        let ran = Ran::from(std::process::Command::new(&program).args(arguments).output().unwrap());
        assert_eq!((ran.status, ran.out.as_str()), (3, ""), "{arguments:?}");
        assert!(ran.err.contains("make build") && ran.err.contains("learn FILE.wasm"), "{}", ran.err);
    }
}

#[test]
fn what_is_no_chapter_is_named() {
    let home = Home::new();
    let file = |name: &str, bytes: &[u8]| {
        let path = home.0.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let script = r#"(module (memory (export "memory") 1) (func (export "_start")))"#;
    let bare = r#"(module (func (export "knetsim:lab/lesson@0.1.0#outline")))"#;
    let folder = home.0.path().to_str().unwrap().to_owned();
    let [script, bare, empty, text] =
        [("script.wasm", script), ("bare.wasm", bare), ("empty.wasm", ""), ("text.wasm", "hello")]
            .map(|(name, text)| file(name, text.as_bytes()));
    for (verb, what, words) in [
        ("learn", &bare, "this file carries no manifest: `knetsim lab build` puts"),
        ("learn", &script, "it is no chapter but a script: `knetsim run`"),
        ("run", &*LESSON, "it is a chapter: `knetsim learn`"),
        ("learn", &empty, "it is empty"),
        ("run", &empty, "it is empty"),
        ("learn", &text, "it is neither a WebAssembly component"),
        ("run", &text, "it is neither a WebAssembly component"),
        ("learn", &folder, "it is a folder: `knetsim lab build`"),
        ("run", &folder, "it is a folder: `knetsim lab build`"),
    ] {
        let ran = home.run(&[verb, "--yes", what]);
        assert!([2, 125].contains(&ran.status), "{verb} {what}: {}", ran.status);
        assert!(ran.err.contains(words) && ran.err.contains(what.as_str()), "{verb} {what}: {}", ran.err);
    }
    let ran = home.run(&["run", &script]);
    assert!(ran.status == 0 && ran.err.contains("`knetsim lab build` puts lab.toml"), "{}", ran.err);
}

#[test]
fn a_signal_gives_the_terminal_back() {
    let home = Home::new();
    let mut learner = Terminal::open(&home, &["learn", "--yes", &LESSON]);
    learner.sees("box has no namespace mine yet");
    learner.signal("TERM");
    assert_eq!(learner.ended(), Some(143));
    assert!(learner.raw().contains("\u{1b}[?2004h"), "{:?}", learner.raw());
    assert!(learner.raw().ends_with("\u{1b}[?2004l\u{1b}[?25h\u{1b}[?1049l"), "{:?}", learner.raw());
    assert_eq!(home.must(&["ls", "-o", "name"]), "", "a sandbox is left");
}

#[test]
fn line_by_line_it_is_the_same() {
    let home = Home::new();
    let refused = line_by_line(&home, &[], "quit\n");
    assert_eq!(refused.status, 5, "{}", refused.err);
    assert!(refused.err.contains("--yes"), "{}", refused.err);

    let lines = "check\nhint\nanswer 5\nsolution\nyes\nrun 1\nskip\nlist\nshell box\nnonsense\n";
    let ran = line_by_line(&home, &["--yes"], lines);
    assert_eq!(ran.status, 0, "{}", ran.err);
    for words in [
        "A namespace by hand: 10 minutes, 0 of 3 tasks solved",
        "Make a namespace: box has no namespace mine yet",
        "ip netns makes them.",
        "The chosen task is no question",
        "Solved: Make a namespace (1 of 3)",
        "It was done for you. These commands do it, too:\n\n# on: box\n",
        "unshare --net=/run/netns/mine true",
        "box# ip netns list\nmine\n",
        "Skipped: Bring its loopback up",
        "skipped  section 1: Bring its loopback up",
        "open a shell in another one",
        "There is no `nonsense`",
    ] {
        assert!(ran.out.contains(words), "{words} is not in\n{}", ran.out);
    }
    assert!(!ran.out.contains('\u{1b}'), "escape sequences in a pipe");
    let listed: Value = serde_json::from_str(&home.must(&["learn", "-o", "json"])).unwrap();
    let lesson = listed.as_array().unwrap().iter().find(|row| row["name"] == "lesson").unwrap();
    assert_eq!((&lesson["solved"], &lesson["from"]), (&json!(1), &json!(origin(&LESSON))));
}

#[test]
fn line_by_line_a_paste_is_one_answer_and_no_confirmation() {
    let home = Home::new();
    let mut learner = Terminal::open(&home, &["learn", "--plain", "--yes", &LESSON]);
    for solved in ["Solved: Make a namespace", "Solved: Bring its loopback up"] {
        learner.press("solution\r");
        learner.sees("Type yes");
        learner.press("yes\r");
        learner.sees(solved);
    }
    // Three lines at once, of which the last two are no commands.
    learner.press("answer 1\rquit\r2\r");
    learner.sees("more than one whole number is in that: 1, 2");
    // What is typed ahead of the question does not answer it.
    learner.press("reset\ryes\r");
    learner.sees("Type yes");
    learner.press("no\r");
    learner.press("list\r");
    learner.sees("solved   section 1: Make a namespace");
    assert!(!learner.text().contains("There is no `no`"), "{}", learner.text());
    learner.press("quit\r");
    assert_eq!(learner.ended(), Some(0), "{}", learner.text());
}

#[test]
fn a_chapter_that_is_not_there_is_named() {
    let home = Home::new();
    let ran = home.run(&["learn", "nothing"]);
    assert_eq!(ran.status, 3);
    assert!(ran.err.contains("there is no chapter `nothing`"), "{}", ran.err);
}
