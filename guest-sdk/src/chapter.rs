//! Chapters: text, and tasks that say themselves when they are done.

use std::fmt::{self, Display};

use crate::bindings::exports::knetsim::lab::lesson;
use crate::bindings::knetsim::lab::types;
use crate::{Code, Error, Lab, Result};

pub use crate::bindings::exports::knetsim::lab::lesson::AnswerKind;

/// A lab that teaches. Its crate is a `cdylib`, and names the one type that implements this by
/// [`chapter!`](crate::chapter!).
///
/// ```no_run
/// use knetsim_sdk::{AnswerKind, Chapter, Lab, Outline, Place, Result, Section, Task, Verdict};
///
/// struct Bridges;
/// knetsim_sdk::chapter!(Bridges);
///
/// impl Chapter for Bridges {
///     fn outline() -> Outline {
///         Outline::new("Bridges", 15).section(
///             // A chapter's own text is long: include_str!("../text/bridges.md").
///             Section::new("A bridge by hand", "Everything here happens on the node `box`.")
///                 .task(make_bridge())
///                 .task(its_mtu()),
///         )
///     }
///
///     fn setup(lab: &Lab) -> Result<()> {
///         lab.create_scratch("box")?;
///         Ok(())
///     }
/// }
///
/// fn make_bridge() -> Task {
///     Task::new("make-bridge", "Make a bridge", "Make a bridge `br0` on `box`, and bring it up.")
///         .hint("`ip link add` makes devices; a bridge is a `type` of them.")
///         .hint("`ip link add br0 type bridge`, then `ip link set br0 up`.")
///         .check(|lab| {
///             let Some(link) = lab.place("box").observe()?.link("br0")? else {
///                 return Ok(Verdict::missing("box has no interface br0 yet"));
///             };
///             Ok(Verdict::passed()
///                 .require(link.kind == "bridge", format!("br0 is a {}, not a bridge", link.kind))
///                 .require(link.up, "br0 is down"))
///         })
///         .solve(|lab| {
///             let node = lab.place("box");
///             node.run(["ip", "link", "add", "br0", "type", "bridge"])?.text()?;
///             node.run(["ip", "link", "set", "br0", "up"])?.text()?;
///             Ok(())
///         })
/// }
///
/// fn its_mtu() -> Task {
///     Task::question("mtu", "Its MTU", "What is the MTU of `br0`?", AnswerKind::Number)
///         .after("make-bridge")
///         .hint("`ip link show br0` says it.")
///         .answer(|lab| {
///             let link = lab.place("box").observe()?.link("br0")?;
///             Ok(link.map(|link| link.mtu).unwrap_or_default())
///         })
/// }
/// ```
pub trait Chapter {
    /// Text and tasks. Nothing of the sandbox can be asked here: there may be none.
    fn outline() -> Outline;

    /// Makes in a fresh sandbox what the learner finds there at the beginning; left out, nothing.
    ///
    /// # Errors
    /// What the chapter can't do without went wrong.
    fn setup(lab: &Lab) -> Result<()> {
        let _ = lab;
        Ok(())
    }
}

/// Makes the crate a chapter: the argument is a type that implements [`Chapter`]. Once in a crate, at its top.
#[macro_export]
macro_rules! chapter {
    ($chapter:ident) => {
        $crate::bindings::export_chapter!($chapter with_types_in $crate::bindings);
    };
}

/// A chapter as a whole: title, length, sections in order.
#[derive(Debug)]
pub struct Outline {
    title: String,
    minutes: u32,
    prerequisites: Vec<String>,
    sections: Vec<Section>,
}

impl Outline {
    /// A chapter of that title, which takes a learner that many minutes.
    pub fn new(title: impl Into<String>, minutes: u32) -> Self {
        Outline { title: title.into(), minutes, prerequisites: Vec::new(), sections: Vec::new() }
    }

    /// What to know or to have done before: words, or a chapter's name.
    #[must_use]
    pub fn prerequisite(mut self, what: impl Into<String>) -> Self {
        self.prerequisites.push(what.into());
        self
    }

    /// Adds a section.
    #[must_use]
    pub fn section(mut self, section: Section) -> Self {
        self.sections.push(section);
        self
    }

    fn task(self, name: &str) -> Result<Task> {
        let mut tasks = self.sections.into_iter().flat_map(|section| section.tasks);
        tasks.find(|task| task.text.name == name).ok_or_else(|| Error::new(format!("there is no task `{name}`")))
    }
}

/// A part of the text with the tasks that follow it.
#[derive(Debug)]
pub struct Section {
    title: String,
    body: String,
    tasks: Vec<Task>,
}

impl Section {
    /// A heading and the text under it, in Markdown.
    ///
    /// A fenced block whose info string is `sh` and a target, as ```` ```sh C0w1 ````, holds commands, one a line,
    /// that the learner can run there by a key, and that `knetsim lab test` runs too. A third word says how they
    /// end where that isn't well: `fails`, or `stops` for one that goes on until it is interrupted.
    pub fn new(title: impl Into<String>, body: impl Into<String>) -> Self {
        Section { title: title.into(), body: body.into(), tasks: Vec::new() }
    }

    /// Adds a task.
    #[must_use]
    pub fn task(mut self, task: Task) -> Self {
        self.tasks.push(task);
        self
    }
}

type Check = Box<dyn Fn(&Lab) -> Result<Verdict>>;
type Solve = Box<dyn Fn(&Lab) -> Result<()>>;
type Right = Box<dyn Fn(&Lab) -> Result<String>>;
type Accept = Box<dyn Fn(&Lab, &str) -> Result<Verdict>>;

/// Something to do, or a question to answer, with all that belongs to it. See [`Chapter`].
pub struct Task {
    text: lesson::Task,
    check: Option<Check>,
    solve: Option<Solve>,
    answer: Option<Right>,
    accept: Option<Accept>,
}

impl Task {
    /// Something to do in the sandbox: a name of small letters, digits and `-` that stays the same from version to
    /// version, a line for lists, and what to do, in Markdown. It needs [`Task::check`] and [`Task::solve`].
    pub fn new(name: impl Into<String>, title: impl Into<String>, text: impl Into<String>) -> Self {
        let text = lesson::Task {
            name: name.into(),
            title: title.into(),
            text: text.into(),
            hints: Vec::new(),
            after: Vec::new(),
            question: None,
            probes: false,
        };
        Task { text, check: None, solve: None, answer: None, accept: None }
    }

    /// A question. It needs [`Task::answer`]. Nobody gets to the check with an answer of another kind.
    pub fn question(
        name: impl Into<String>,
        title: impl Into<String>,
        text: impl Into<String>,
        kind: AnswerKind,
    ) -> Self {
        let mut task = Task::new(name, title, text);
        task.text.question = Some(kind);
        task
    }

    /// Adds a hint, in Markdown. They are shown one at a time: from a push to nearly all of it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.text.hints.push(hint.into());
        self
    }

    /// Names a task that has to be solved before.
    #[must_use]
    pub fn after(mut self, task: impl Into<String>) -> Self {
        self.text.after.push(task.into());
        self
    }

    /// Says that the check sends traffic. What it sends from is not the target that it names but a namespace of its
    /// own beside it, as a new container on that worker would be: what the learner's places have counted stays. The
    /// target must be a worker or a container, and its worker must have had a container.
    #[must_use]
    pub fn probes(mut self) -> Self {
        self.text.probes = true;
        self
    }

    /// How to find out that it is done. It can look at everything and change nothing. What it looks for and doesn't
    /// find is missing: an error with [`Code::NotFound`] is taken for a verdict in its words.
    #[must_use]
    pub fn check(mut self, check: impl Fn(&Lab) -> Result<Verdict> + 'static) -> Self {
        self.check = Some(Box::new(check));
        self
    }

    /// Does what the learner should do, in the learner's place.
    #[must_use]
    pub fn solve(mut self, solve: impl Fn(&Lab) -> Result<()> + 'static) -> Self {
        self.solve = Some(Box::new(solve));
        self
    }

    /// A question's right answer, asked of the sandbox at that moment. Letters may be small or not.
    #[must_use]
    pub fn answer<T: Display>(mut self, answer: impl Fn(&Lab) -> Result<T> + 'static) -> Self {
        self.answer = Some(Box::new(move |lab| Ok(answer(lab)?.to_string())));
        self
    }

    /// Where more than one answer is right: whether that one is, or what is wrong with it. Instead of the
    /// comparison with [`Task::answer`], which remains the one that is shown.
    #[must_use]
    pub fn accept(mut self, accept: impl Fn(&Lab, &str) -> Result<Verdict> + 'static) -> Self {
        self.accept = Some(Box::new(accept));
        self
    }

    fn checked(&self, lab: &Lab, given: Option<&str>) -> Result<Verdict> {
        match (given, &self.accept, &self.answer, &self.check) {
            (Some(given), Some(accept), ..) => accept(lab, given),
            (Some(given), None, Some(answer), _) => {
                let right = answer(lab)?.trim().eq_ignore_ascii_case(given.trim());
                Ok(Verdict::passed().require(right, format!("`{given}` is not it")))
            }
            (None, .., Some(check)) => check(lab),
            _ => Err(self.lacks("way to check it")),
        }
    }

    fn solved(&self, lab: &Lab) -> Result<Option<String>> {
        match (&self.text.question, &self.answer, &self.solve) {
            (Some(_), Some(answer), _) => Ok(Some(answer(lab)?)),
            (None, _, Some(solve)) => solve(lab).map(|()| None),
            _ => Err(self.lacks("solution")),
        }
    }

    fn lacks(&self, what: &str) -> Error {
        Error::new(format!("the task `{}` has no {what}", self.text.name))
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("text", &self.text).finish_non_exhaustive()
    }
}

impl AnswerKind {
    /// One of these, in its own words.
    pub fn choice<T: Into<String>>(of: impl IntoIterator<Item = T>) -> Self {
        AnswerKind::Choice(of.into_iter().map(Into::into).collect())
    }

    /// Any of these. The answer has them each on a line of its own, in this order.
    pub fn choices<T: Into<String>>(of: impl IntoIterator<Item = T>) -> Self {
        AnswerKind::Choices(of.into_iter().map(Into::into).collect())
    }
}

/// What a check found: that it is done, or all that is still missing, for people.
///
/// ```
/// use knetsim_sdk::Verdict;
///
/// let (up, mtu) = (true, 1450);
/// let verdict = Verdict::passed()
///     .require(up, "eth0 is down")
///     .require(mtu == 1500, format!("eth0 has an MTU of {mtu}, not of 1500"));
/// assert_eq!(verdict, Verdict::missing("eth0 has an MTU of 1450, not of 1500"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Verdict {
    missing: Vec<String>,
}

impl Verdict {
    /// Done, as long as nothing is missing.
    pub fn passed() -> Self {
        Verdict { missing: Vec::new() }
    }

    /// Not done yet, in words made from what was observed: `C0w1 has no neighbour entry for C0w2 yet`.
    pub fn missing(what: impl Into<String>) -> Self {
        Verdict { missing: vec![what.into()] }
    }

    /// Where `condition` doesn't hold, `missing` is missing.
    pub fn require(mut self, condition: bool, missing: impl Into<String>) -> Self {
        if !condition {
            self.missing.push(missing.into());
        }
        self
    }

    /// What another verdict says is missing is missing, too.
    pub fn and(mut self, other: Verdict) -> Self {
        self.missing.extend(other.missing);
        self
    }
}

/// What the host calls, of whatever is a chapter.
impl<C: Chapter> lesson::Guest for C {
    fn outline() -> lesson::ChapterOutline {
        let Outline { title, minutes, prerequisites, sections } = <C as Chapter>::outline();
        let section = |section: Section| lesson::Section {
            title: section.title,
            body: section.body,
            tasks: section.tasks.into_iter().map(|task| task.text).collect(),
        };
        let sections = sections.into_iter().map(section).collect();
        lesson::ChapterOutline { title, minutes, prerequisites, sections }
    }

    fn setup() -> Result<(), types::Error> {
        Ok(<C as Chapter>::setup(&Lab::new())?)
    }

    fn check(task: String, answer: Option<String>) -> Result<lesson::Verdict, types::Error> {
        let checked = <C as Chapter>::outline().task(&task)?.checked(&Lab::new(), answer.as_deref());
        let verdict = match checked {
            Err(error) if error.code() == Code::NotFound => Verdict::missing(error.message()),
            checked => checked?,
        };
        Ok(match verdict.missing {
            missing if missing.is_empty() => lesson::Verdict::Passed,
            missing => lesson::Verdict::Missing(missing),
        })
    }

    fn solve(task: String) -> Result<Option<String>, types::Error> {
        Ok(<C as Chapter>::outline().task(&task)?.solved(&Lab::new())?)
    }
}
