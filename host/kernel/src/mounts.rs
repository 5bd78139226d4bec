//! Mounts, by descriptor: a tree is made detached, given its attributes, and attached whole, so that
//! nobody ever sees a half-made one and no path is looked up twice.
//!
//! As commands: `mount -t tmpfs`, `mount --bind -o ro`, `mount --make-rprivate`, `pivot_root`, `umount -l`.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, fsconfig_create,
    fsconfig_set_string, fsmount, fsopen, mount_change, move_mount, open_tree, unmount,
};

use crate::error::KernelError;

pub use rustix::mount::MountAttrFlags as Attributes;

type Result<T, E = KernelError> = std::result::Result<T, E>;

/// No set-user-id programs and no device nodes.
pub const INERT: Attributes = Attributes::MOUNT_ATTR_NOSUID.union(Attributes::MOUNT_ATTR_NODEV);
/// As [`INERT`], and not to be written to.
pub const READ_ONLY: Attributes = INERT.union(Attributes::MOUNT_ATTR_RDONLY);

/// A mount, or a tree of them, that may not be attached anywhere yet.
#[derive(Debug)]
pub struct Tree(OwnedFd);

impl Tree {
    /// A new file system, `mount -t KIND -o OPTIONS`.
    pub fn new(kind: &str, options: &[(&str, &str)], attributes: Attributes) -> Result<Tree> {
        let make = || {
            let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
            for (key, value) in options {
                fsconfig_set_string(&context, *key, *value)?;
            }
            fsconfig_create(&context)?;
            fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
        };
        make().map(Tree).map_err(KernelError::doing(format!("make a {kind} file system")))
    }

    /// A copy of what a path shows, with all that is mounted below it, as `mount --rbind` has it.
    pub fn copy(path: &Path) -> Result<Tree> {
        Tree::copy_at(CWD, path)
    }

    /// As [`Tree::copy`], of a file or folder that is open already. It must lie in the current mount
    /// namespace, or be a namespace file.
    pub fn copy_of(file: impl AsFd) -> Result<Tree> {
        Tree::copy_at(file, Path::new(""))
    }

    fn copy_at(folder: impl AsFd, path: &Path) -> Result<Tree> {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_RECURSIVE
            | OpenTreeFlags::AT_EMPTY_PATH;
        open_tree(folder, path, flags)
            .map(Tree)
            .map_err(KernelError::doing(format!("open_tree: copy mount {}", path.display())))
    }

    /// Sets attributes on all mounts of the tree.
    pub fn set(self, attributes: Attributes) -> Result<Tree> {
        set_attributes(&self.0, attributes, true)?;
        Ok(self)
    }

    /// Attaches it over a folder or file, relative to `folder`; with an empty path, over that one itself.
    pub fn attach(&self, folder: impl AsFd, path: &Path) -> Result<()> {
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        move_mount(&self.0, "", folder, path, flags)
            .map_err(KernelError::doing(format!("move_mount: mount on {}", path.display())))
    }

    /// Its root folder, for work inside.
    pub fn root(&self) -> &OwnedFd {
        &self.0
    }
}

/// Sets attributes on a mount, or on it and all below.
pub fn set_attributes(mount: impl AsFd, attributes: Attributes, recursive: bool) -> Result<()> {
    use std::os::fd::AsRawFd as _;
    let set =
        nix::libc::mount_attr { attr_set: u64::from(attributes.bits()), attr_clr: 0, propagation: 0, userns_fd: 0 };
    let flags = nix::libc::AT_EMPTY_PATH | if recursive { nix::libc::AT_RECURSIVE } else { 0 };
    // SAFETY: mount_setattr reads `set` and an empty string, which outlive the call.
    #[expect(unsafe_code)]
    let done = unsafe {
        nix::libc::syscall(
            nix::libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const set,
            size_of_val(&set),
        )
    };
    if done == 0 {
        return Ok(());
    }
    Err(KernelError::refused(format!("mount_setattr: set {attributes:?}"), std::io::Error::last_os_error()))
}

/// Shows one folder or file at another place too, `mount --rbind`.
pub fn bind(source: &Path, target: &Path) -> Result<()> {
    rustix::mount::mount_bind_recursive(source, target).map_err(KernelError::doing(format!(
        "bind {} on {}",
        source.display(),
        target.display()
    )))
}

/// Cuts the current mount namespace off from the one that it was copied from, `mount --make-rprivate /`.
pub fn make_private() -> Result<()> {
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(KernelError::doing("make / private"))
}

/// Lets what is mounted below a mount be seen in the copies that are made of it, `mount --make-shared`.
pub fn make_shared(path: &Path) -> Result<()> {
    mount_change(path, MountPropagationFlags::SHARED)
        .map_err(KernelError::doing(format!("make {} shared", path.display())))
}

/// Takes away what is mounted last on a path, `umount -l`; a symbolic link is not followed.
pub fn detach(path: &Path) -> Result<()> {
    unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW)
        .map_err(KernelError::doing(format!("umount {}", path.display())))
}

/// Makes an attached tree the root of this process, and lets go of the old root and all that is mounted in it.
pub fn make_root(tree: &Tree) -> Result<()> {
    let doing = |what| KernelError::doing(format!("pivot_root: {what}"));
    rustix::process::fchdir(&tree.0).map_err(doing("enter the new root"))?;
    rustix::process::pivot_root(".", ".").map_err(doing("change root"))?;
    unmount(".", UnmountFlags::DETACH).map_err(doing("let go of the old root"))?;
    rustix::process::chdir("/").map_err(doing("enter /"))
}

/// Opens a file or folder only as a place, without reading it.
pub fn open_place(path: &Path) -> Result<OwnedFd> {
    rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .map_err(KernelError::doing(format!("open {}", path.display())))
}
