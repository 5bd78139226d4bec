//! The one error of this layer: what was being done, to what, and what the kernel said.

use std::io;

/// Why the kernel, or a program that speaks to it, did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// A system call or a netlink request was refused.
    #[error("{doing}: {}{source}", said.as_ref().map(|words| format!("{words}: ")).unwrap_or_default())]
    Refused {
        /// The operation and its object, such as `add bridge cni0`.
        doing: String,
        /// The kernel's own words (netlink's extended acknowledgement), where it gave some.
        said: Option<String>,
        /// The error number.
        source: io::Error,
    },
    /// A program that is needed is not installed.
    #[error("{doing}: the program `{program}` is not installed")]
    Missing {
        /// The operation and its object.
        doing: String,
        /// The program, as a shell would find it.
        program: &'static str,
    },
    /// A program ran and failed.
    #[error("{doing}: `{program}` said: {said}")]
    Program {
        /// The operation and its object.
        doing: String,
        /// The program.
        program: &'static str,
        /// What it wrote to its standard error.
        said: String,
    },
    /// An answer could not be understood.
    #[error("{doing}: {what}")]
    Answer {
        /// The operation and its object.
        doing: String,
        /// What was wrong with it.
        what: String,
    },
}

impl KernelError {
    /// A refusal with its error number: `KernelError::refused("mount tmpfs on /run", errno)`.
    pub fn refused(doing: impl Into<String>, source: impl Into<io::Error>) -> Self {
        KernelError::Refused { doing: doing.into(), said: None, source: source.into() }
    }

    /// An answer that could not be understood.
    pub fn answer(doing: impl Into<String>, what: impl ToString) -> Self {
        KernelError::Answer { doing: doing.into(), what: what.to_string() }
    }

    /// For `map_err`: `openat2(..).map_err(KernelError::doing("open /run/netns"))`.
    pub fn doing<E: Into<io::Error>>(doing: impl Into<String>) -> impl FnOnce(E) -> Self {
        move |error| KernelError::refused(doing, error)
    }

    /// The kernel's error number, such as `libc::EEXIST`; none where a program or an answer was at fault.
    pub fn errno(&self) -> Option<i32> {
        match self {
            KernelError::Refused { source, .. } => source.raw_os_error(),
            _ => None,
        }
    }

    /// Whether what should be made exists already (EEXIST).
    pub fn is_exists(&self) -> bool {
        matches!(self, KernelError::Refused { source, .. } if source.kind() == io::ErrorKind::AlreadyExists)
    }

    /// Whether what it was about is not there (ENOENT, ENODEV, ESRCH).
    pub fn is_not_found(&self) -> bool {
        use nix::errno::Errno;
        self.errno().is_some_and(|errno| {
            matches!(Errno::from_raw(errno), Errno::ENOENT | Errno::ENODEV | Errno::ESRCH | Errno::ENXIO)
        })
    }
}
