//! The file `progress.json` in the folder [`home::data`], which keeps how far a learner is from run to run.
//!
//! Invariant: two programs that write at once don't undo each other's tasks. A file that this program doesn't
//! understand, be it damaged or a later version's, is put aside under another name and never written over.

use std::path::{Path, PathBuf};

use anyhow::Context;

use super::progress::{All, Key, Progress};
use crate::home;

/// The file's name.
const FILE: &str = "progress.json";

/// The file.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    /// Where it is; why nothing can be kept where it is nowhere.
    folder: Result<PathBuf, String>,
}

impl Store {
    /// That of the person who runs this.
    pub(crate) fn open() -> Store {
        Store { folder: home::data().map_err(|error| format!("{error:#}")) }
    }

    /// What is kept, as it is read without changing anything.
    pub(crate) fn look(&self) -> anyhow::Result<All> {
        let path = self.folder()?.join(FILE);
        match home::read(&path) {
            Ok(bytes) => All::parse(&bytes).with_context(|| format!("reading {}", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(All::default()),
            Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
        }
    }

    /// Keeps what has changed of a chapter since `before`. Says so where the file that was there was put aside.
    pub(crate) fn save(&self, key: &Key, before: &Progress, now: &Progress) -> anyhow::Result<Option<String>> {
        let folder = self.folder()?;
        let path = folder.join(FILE);
        let keeping = || format!("writing {}", path.display());
        let _lock = home::lock(folder).with_context(keeping)?;
        let (mut all, aside) = match home::read(&path) {
            Ok(bytes) => match All::parse(&bytes) {
                Ok(all) => (all, None),
                Err(error) => (All::default(), Some(put_aside(&path, &error).with_context(keeping)?)),
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => (All::default(), None),
            Err(error) => return Err(error).with_context(keeping),
        };
        all.follow(key, before, now);
        home::write(folder, FILE, &serde_json::to_vec_pretty(&all)?).with_context(keeping)?;
        Ok(aside)
    }

    fn folder(&self) -> anyhow::Result<&Path> {
        self.folder.as_deref().map_err(|why| anyhow::anyhow!("{why}"))
    }
}

fn unkept(error: &anyhow::Error) -> String {
    format!("What you solve is not kept: {error:#}")
}

/// Keeps the progress of one chapter while a learner works through it.
#[derive(Debug)]
pub(crate) struct Keeper {
    store: Store,
    key: Key,
    kept: Progress,
    /// Whether the learner knows that nothing is kept.
    warned: bool,
}

impl Keeper {
    /// Goes on from what is kept of the chapter; and what its learner has to know of the file: that it was put aside, or
    /// that nothing will be kept. Whether it can be written is tried now, not when something has been solved.
    pub(crate) fn begin(store: Store, key: Key) -> (Keeper, Option<String>) {
        // Where it can't be understood, it is put aside below.
        let kept = store.look().map(|all| all.of(&key)).unwrap_or_default();
        let tried = store.save(&key, &kept, &kept);
        let warned = tried.is_err();
        (Keeper { store, key, kept, warned }, tried.unwrap_or_else(|error| Some(unkept(&error))))
    }

    /// What is kept.
    pub(crate) fn kept(&self) -> &Progress {
        &self.kept
    }

    /// Keeps it where it has changed.
    ///
    /// # Errors
    /// The file can't be written. What was to be kept is tried again with the next change.
    pub(crate) fn try_keep(&mut self, now: &Progress) -> anyhow::Result<Option<String>> {
        if *now == self.kept {
            return Ok(None);
        }
        let aside = self.store.save(&self.key, &self.kept, now)?;
        self.kept.clone_from(now);
        Ok(aside)
    }

    /// The same. An error is no reason to end: it is what the learner has to know, once.
    pub(crate) fn keep(&mut self, now: &Progress) -> Option<String> {
        self.try_keep(now).unwrap_or_else(|error| {
            let first = !std::mem::replace(&mut self.warned, true);
            first.then(|| unkept(&error))
        })
    }
}

/// Puts the file aside, and says so.
fn put_aside(path: &Path, error: &anyhow::Error) -> std::io::Result<String> {
    let aside = home::put_aside(path)?;
    let (path, aside) = (path.display(), aside.display());
    Ok(format!("{path} could not be read: {error:#}. It is kept as {aside}; progress begins anew"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::progress::Outcome;

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store { folder: Ok(folder.path().join("data/knetsim")) };
        (folder, store)
    }

    fn with_file(text: &str) -> (tempfile::TempDir, Store) {
        let (folder, store) = store();
        let data = store.folder().unwrap();
        std::fs::create_dir_all(data).unwrap();
        std::fs::write(data.join(FILE), text).unwrap();
        (folder, store)
    }

    fn key(origin: &str, name: &str) -> Key {
        Key { origin: serde_json::from_value(origin.into()).unwrap(), name: name.to_owned() }
    }

    fn solved(tasks: &[&str]) -> Progress {
        let tasks = tasks.iter().map(|task| ((*task).to_owned(), Outcome::Solved)).collect();
        Progress { tasks, ..Progress::default() }
    }

    fn begin(store: &Store, key: &Key) -> Progress {
        let (keeper, warning) = Keeper::begin(store.clone(), key.clone());
        assert_eq!(warning, None);
        keeper.kept().clone()
    }

    #[test]
    fn what_is_kept_is_found_again() {
        let (_folder, store) = store();
        let keys = [key("knetsim", "c1"), key("knetsim", "c2")];
        assert_eq!(begin(&store, &keys[0]), Progress::default());
        let one = Progress { section: 2, state: vec![0, 255, 7], ..solved(&["make"]) };
        let two = Progress { section: 1, ..Progress::default() };
        for (key, progress) in keys.iter().zip([&one, &two]) {
            assert_eq!(store.save(key, &Progress::default(), progress).unwrap(), None);
        }
        assert_eq!(keys.map(|key| begin(&store, &key)), [one, two]);
        let left = std::fs::read_dir(store.folder().unwrap()).unwrap().count();
        assert_eq!(left, 1, "a file of an unfinished write is left");
    }

    #[test]
    fn a_strangers_chapter_has_progress_of_its_own() {
        let (_folder, store) = store();
        let (ours, theirs) = (key("knetsim", "c1"), key("file:/tmp/c1.wasm", "c1"));
        let none = Progress::default();
        store.save(&ours, &none, &solved(&["make"])).unwrap();
        assert_eq!(begin(&store, &theirs), none);
        store.save(&theirs, &none, &solved(&["all-of-it"])).unwrap();
        assert_eq!(begin(&store, &ours), solved(&["make"]));
        let all = store.look().unwrap();
        let others: Vec<_> = all.others().map(|(origin, name, _)| (origin.to_string(), name.as_str())).collect();
        assert_eq!(others, [("file:/tmp/c1.wasm".to_owned(), "c1")]);
    }

    #[test]
    fn progress_of_version_1_is_carried_over_for_the_chapters_of_knetsim() {
        let file =
            r#"{"version":1,"chapters":{"c3":{"section":1,"tasks":{"a":"skipped"}},"mine":{"tasks":{"b":"solved"}}}}"#;
        let (_folder, store) = with_file(file);
        assert_eq!(begin(&store, &key("knetsim", "c3")).tasks["a"], Outcome::Skipped);
        assert_eq!(begin(&store, &key("knetsim", "mine")), Progress::default(), "nobody knows where that was from");
        let kept = std::fs::read_to_string(store.folder().unwrap().join(FILE)).unwrap();
        assert!(kept.contains(r#""version": 2"#) && kept.contains(r#""b": "solved""#), "{kept}");
    }

    #[test]
    fn what_two_programs_solve_is_kept() {
        let (_folder, store) = store();
        let key = key("knetsim", "c1");
        let begun = Progress { hints: [("a".to_owned(), 1)].into(), ..solved(&["make", "old"]) };
        store.save(&key, &Progress::default(), &begun).unwrap();
        store.save(&key, &begun, &solved(&["make", "one"])).unwrap();
        store.save(&key, &begun, &Progress { section: 3, ..solved(&["make", "old", "two"]) }).unwrap();
        assert_eq!(begin(&store, &key), Progress { section: 3, ..solved(&["make", "one", "two"]) });
    }

    #[test]
    fn what_is_not_understood_is_kept_aside() {
        for (file, says) in [
            ("", "damaged"),
            ("{", "damaged"),
            ("\u{0}\u{0}", "damaged"),
            (r#"{"version":9,"chapters":{}}"#, "later"),
            (r#"{"version":2,"chapters":{"knetsim":{"c1":{"tasks":{"a":"mastered"}}}}}"#, "later"),
            (r#"{"version":2,"chapters":{"knetsim":{"c1":{"stars":3}}}}"#, "later"),
            (r#"{"version":1,"chapters":{"c1":{"tasks":{"a":"mastered"}}}}"#, "damaged"),
        ] {
            let (_folder, store) = with_file(file);
            let (keeper, warning) = Keeper::begin(store.clone(), key("knetsim", "c1"));
            assert_eq!(*keeper.kept(), Progress::default());
            let warning = warning.unwrap_or_default();
            let aside = store.folder().unwrap().join("progress.json.1");
            let named = format!("kept as {}", aside.display());
            assert!(warning.contains(says) && warning.contains(&named), "{warning}");
            assert_eq!(std::fs::read_to_string(aside).unwrap(), file);
            assert_eq!(begin(&store, &key("knetsim", "c1")), Progress::default());
        }
    }

    #[test]
    fn where_nothing_can_be_kept_it_says_so() {
        let (_folder, store) = store();
        std::fs::write(store.folder().unwrap().parent().unwrap().parent().unwrap().join("data"), "a file").unwrap();
        for store in [store, Store { folder: Err("no HOME".to_owned()) }] {
            let (mut keeper, warning) = Keeper::begin(store, key("knetsim", "c1"));
            assert!(warning.is_some_and(|words| words.starts_with("What you solve is not kept: ")));
            assert_eq!(keeper.keep(&solved(&["make"])), None, "that is said once");
        }
    }

    #[test]
    fn what_can_not_be_kept_is_kept_later() {
        let (_folder, store) = store();
        let (mut keeper, _) = Keeper::begin(store.clone(), key("knetsim", "c1"));
        let (data, away) = (store.folder().unwrap(), store.folder().unwrap().with_extension("away"));
        std::fs::rename(data, &away).unwrap();
        std::fs::write(data, "a file").unwrap();
        assert!(keeper.keep(&solved(&["one"])).is_some_and(|words| words.starts_with("What you solve is not kept")));
        assert_eq!(keeper.keep(&solved(&["one", "two"])), None);
        std::fs::remove_file(data).unwrap();
        std::fs::rename(away, data).unwrap();
        assert_eq!(keeper.keep(&solved(&["one", "two", "three"])), None);
        assert_eq!(begin(&store, &key("knetsim", "c1")), solved(&["one", "two", "three"]));
    }
}
