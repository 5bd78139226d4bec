//! What `ps` shows for this process, as setproctitle(3) of the BSDs has it.
//!
//! Invariant: what the process was started with, its arguments and its environment, is gone afterwards from
//! where it lay, so that whoever may read the memory of the process does not find it there.

use nix::libc;
use rustix::thread::set_name;

use crate::error::KernelError;

/// The memory that holds the arguments and the environment that this program was started with.
#[derive(Clone, Copy, Debug)]
pub struct Title {
    start: u64,
    length: usize,
}

impl Title {
    /// Finds it, `/proc/self/stat`. Holds in forked copies of this process too.
    ///
    /// # Errors
    /// The file can't be read, or doesn't say it.
    pub fn find() -> Result<Title, KernelError> {
        const DOING: &str = "find the arguments in /proc/self/stat";
        let stat = procfs::process::Process::myself().and_then(|process| process.stat());
        let stat = stat.map_err(|error| KernelError::answer(DOING, error))?;
        let (start, end) = (stat.arg_start.unwrap_or(0), stat.arg_end.unwrap_or(0));
        // The environment follows the arguments, unless somebody moved one of them.
        let end = stat.env_end.filter(|_| stat.env_start == stat.arg_end).unwrap_or(end);
        if start == 0 || end <= start {
            return Err(KernelError::answer(DOING, "they are not there"));
        }
        Ok(Title { start, length: (end - start) as usize })
    }

    /// Replaces arguments and environment by `words`, cut to the room that there is, and the process's short name by
    /// `name`. For a process that reads neither any more.
    ///
    /// # Errors
    /// The kernel refused the name.
    pub fn replace(self, words: &str, name: &std::ffi::CStr) -> Result<(), KernelError> {
        // SAFETY: no other thread of this process reads the environment: it has none (see the caller's duty).
        #[expect(unsafe_code)]
        unsafe {
            libc::clearenv();
        }
        // SAFETY: the kernel mapped this memory for this program's arguments and environment, writable, and nothing
        // else lies in it; nobody holds a reference to it, for neither is read any more.
        #[expect(unsafe_code)]
        let room = unsafe { std::slice::from_raw_parts_mut(self.start as *mut u8, self.length) };
        room.fill(0);
        let (last, text) = (self.length - 1, words.as_bytes());
        let length = text.len().min(last);
        room[..length].copy_from_slice(&text[..length]);
        set_name(name).map_err(KernelError::doing("name this process"))
    }
}
