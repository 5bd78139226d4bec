//! The files that a sandbox sees: the system's programs, read-only; fresh and empty folders for the rest;
//! what the user brings. `debootstrap`, without copying anything.
//!
//! Invariant: every source is opened before the first new mount is attached, so none can hide another, and
//! nothing of the old root can be reached afterwards.

use std::fs::{File, Metadata};
use std::io::Write as _;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use knetsim_kernel::KernelError;
use knetsim_kernel::mounts::{self, Attributes, INERT, READ_ONLY, Tree};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, mkdirat, openat, openat2, symlinkat};

use crate::error::{Result, SandboxError, step};
use crate::options::{BindMount, Limits};

/// Folders of programs, beside /usr.
const PROGRAMS: &[&str] = &["bin", "sbin", "lib", "lib32", "lib64", "libx32"];
/// What programs need of /etc; files are copied, folders bound.
const ETC: &[&str] = &[
    "alternatives",
    "bash.bashrc",
    "bash_completion.d",
    "ca-certificates",
    "ethertypes",
    "group",
    "host.conf",
    "inputrc",
    "iproute2",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "locale.alias",
    "localtime",
    "login.defs",
    "mime.types",
    "networks",
    "nftables.conf",
    "nginx",
    "nsswitch.conf",
    "os-release",
    "passwd",
    "pki",
    "profile",
    "profile.d",
    "protocols",
    "rpc",
    "securetty",
    "services",
    "shells",
    "skel",
    "ssl",
    "terminfo",
    "vim",
    "wireshark",
];
const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom", "tty", "net/tun"];
/// Folders that are fresh: name, mode, size in MiB.
const FRESH: &[(&str, &str, u64)] =
    &[("tmp", "1777", 256), ("run", "755", 64), ("var", "755", 256), ("root", "700", 64), ("dev/shm", "1777", 64)];
const FOLDERS: &[&str] = &[
    "run/lock",
    "run/netns",
    "var/cache",
    "var/lib",
    "var/log",
    "var/spool",
    "var/tmp",
    "var/lib/etcd",
    "tmp/knetsim",
];
/// Where the user's programs lie.
pub(crate) const USER_PROGRAMS: &str = "/opt/knetsim/bin";
/// Where the user's CNI plugins lie.
pub(crate) const PLUGINS: &str = "/opt/cni/bin";
/// The names of plugins that knetsim itself answers to.
const OWN_PLUGINS: &[&str] = &["flannel", "bridge", "host-local", "loopback"];
/// Nodes' folders, and etcd's data, each on a file system of its own.
pub(crate) const NODES: &str = "/tmp/knetsim";
pub(crate) const DATA: &str = "/var/lib/etcd";

/// A file or folder of the host's, opened by the launcher with the rights that the user has there.
#[derive(Debug)]
pub(crate) struct Source {
    target: PathBuf,
    read_only: bool,
    found: Metadata,
    opened: Opened,
}

#[derive(Debug)]
enum Opened {
    /// By root: a copy of the mount, which can be taken along.
    Tree(Tree),
    /// By others: the path that it had, to be opened again and compared.
    Path(PathBuf),
}

impl Source {
    /// Opens it.
    pub(crate) fn open(mount: &BindMount) -> Result<Source> {
        let taken = ["/", "/proc", "/sys", "/dev", NODES];
        let inside = |folder: &&&str| {
            if **folder == "/" { mount.target == Path::new("/") } else { mount.target.starts_with(folder) }
        };
        if let Some(folder) = taken.iter().find(inside) {
            let words =
                format!("nothing can be mounted on {}: {folder} belongs to the sandbox", mount.target.display());
            return Err(SandboxError::Invalid(words));
        }
        let place = mounts::open_place(&mount.source)?;
        let opening = || format!("opening {}", mount.source.display());
        let file = File::from(place);
        let found = file.metadata().map_err(step(opening))?;
        let opened = match Tree::copy_of(&file) {
            Ok(tree) => Opened::Tree(tree),
            Err(error) if error.errno() == Some(nix::libc::EPERM) => {
                Opened::Path(mount.source.canonicalize().map_err(step(opening))?)
            }
            Err(error) => return Err(error.into()),
        };
        Ok(Source { target: mount.target.clone(), read_only: mount.read_only, found, opened })
    }

    /// The mount, in the sandbox's mount namespace, while the old root can still be reached.
    fn tree(self) -> Result<Place> {
        let tree = match self.opened {
            Opened::Tree(tree) => tree,
            Opened::Path(path) => {
                let tree = Tree::copy(&path)?;
                let opening = || format!("opening {}", path.display());
                let again = rustix::fs::fstat(tree.root()).map_err(step(opening))?;
                if (again.st_dev, again.st_ino) != (self.found.dev(), self.found.ino()) {
                    return Err(SandboxError::Invalid(format!("{} was replaced just now", path.display())));
                }
                tree
            }
        };
        let tree = tree.set(if self.read_only { READ_ONLY } else { INERT })?;
        Ok(Place { target: self.target, is_folder: self.found.is_dir(), tree })
    }
}

struct Place {
    target: PathBuf,
    is_folder: bool,
    tree: Tree,
}

/// Makes the root and enters it. In a new mount namespace, as root of its user namespace.
pub(crate) fn build(sources: Vec<Source>, limits: &Limits) -> Result<()> {
    mounts::make_private()?;
    let mut places = system()?;
    places.extend(sources.into_iter().map(Source::tree).collect::<Result<Vec<_>>>()?);
    places.sort_by_key(|place| place.target.components().count());
    let etc = small_files();
    let proc = Tree::new("proc", &[], INERT | Attributes::MOUNT_ATTR_NOEXEC).map_err(|error| masked("proc", error))?;
    let sys = new_sysfs(INERT).or_else(|_| new_sysfs(READ_ONLY)).ok();

    let tree = Tree::new("tmpfs", &[("mode", "755"), ("size", "4m"), ("nr_inodes", "4k")], INERT)?;
    // Any folder will do: all that is needed of it is open already.
    tree.attach(mounts::open_place(Path::new("/tmp"))?, Path::new(""))?;
    let root = tree.root();
    for folder in ["proc", "sys", "dev", "mnt", "etc"] {
        make_folder(root, folder)?;
    }
    proc.attach(root, Path::new("proc"))?;
    if let Some(sys) = sys {
        sys.attach(root, Path::new("sys"))?;
    }
    fresh_folders(root, limits)?;
    devices(root)?;
    write_etc(root, &etc)?;
    links(root, &places)?;
    for place in &places {
        make_place(root, &place.target, place.is_folder)?;
    }
    for place in &places {
        let mounting = || format!("mounting on {}", place.target.display());
        place.tree.attach(&open_inside(root, &place.target).map_err(step(mounting))?, Path::new(""))?;
    }
    mounts::set_attributes(root, READ_ONLY, false)?;
    Ok(mounts::make_root(&tree)?)
}

/// A new sysfs of the current network namespace. Refused where the old one is hidden, or read-only and this not.
fn new_sysfs(attributes: Attributes) -> std::result::Result<Tree, KernelError> {
    Tree::new("sysfs", &[], attributes | Attributes::MOUNT_ATTR_NOEXEC)
}

/// Shows the current network namespace's devices in /sys, in the current mount namespace.
///
/// A read-only one is left as it is (Docker has it so): being the launcher's, it is locked here. `ip netns exec` would
/// take one of ours away and then try in vain to mount one that isn't read-only.
pub(crate) fn show_own_devices() -> Result<()> {
    match new_sysfs(INERT) {
        Ok(sys) => Ok(sys.attach(CWD, Path::new("/sys"))?),
        Err(_) => Ok(()),
    }
}

/// A file system that the kernel only shows anew where the old one is not masked.
pub(crate) fn masked(kind: &str, error: KernelError) -> SandboxError {
    if error.errno() != Some(nix::libc::EPERM) {
        return error.into();
    }
    SandboxError::Refused(format!(
        "{error}: something hides parts of /{kind} here, as Docker does by default; \
         start the container with --security-opt systempaths=unconfined"
    ))
}

/// The system's programs and the folders of /etc.
fn system() -> Result<Vec<Place>> {
    let folders = PROGRAMS.iter().map(|name| format!("/{name}")).filter(|path| !Path::new(path).is_symlink());
    let etc = ETC.iter().map(|name| format!("/etc/{name}"));
    std::iter::once("/usr".to_owned())
        .chain(folders)
        .chain(etc)
        .filter(|path| Path::new(path).is_dir())
        .map(|path| {
            let tree = Tree::copy(Path::new(&path))?.set(READ_ONLY)?;
            Ok(Place { target: path.into(), is_folder: true, tree })
        })
        .collect()
}

/// Files of /etc that anybody may read, with their content.
fn small_files() -> Vec<(&'static str, Vec<u8>)> {
    let read = |name: &&'static str| Some((*name, std::fs::read(format!("/etc/{name}")).ok()?));
    ETC.iter().filter_map(read).collect()
}

fn fresh_folders(root: &OwnedFd, limits: &Limits) -> Result<()> {
    let attach = |path: &str, mode: &str, size: u64| -> Result<()> {
        make_folder(root, path)?;
        // An inode for each 4 KiB is more than files need, and bounds the memory that empty files take.
        let (size, inodes) = (size.to_string(), (size / 4096).to_string());
        let tree = Tree::new("tmpfs", &[("mode", mode), ("size", &size), ("nr_inodes", &inodes)], INERT)?;
        Ok(tree.attach(root, Path::new(path))?)
    };
    attach("dev", "755", 1 << 20)?;
    for (name, mode, size) in FRESH {
        attach(name, mode, size << 20)?;
    }
    for folder in FOLDERS {
        make_folder(root, folder)?;
    }
    for path in [NODES, DATA] {
        attach(&path[1..], "755", limits.disk)?;
    }
    link(root, "/run", "var/run")?;
    link(root, "/run/lock", "var/lock")
}

fn devices(root: &OwnedFd) -> Result<()> {
    make_folder(root, "dev/net")?;
    for name in DEVICES {
        let (source, target) = (format!("/dev/{name}"), format!("/dev/{name}"));
        if Path::new(&source).exists() {
            make_place(root, Path::new(&target), false)?;
            Tree::copy(Path::new(&source))?.attach(root, Path::new(&target[1..]))?;
        }
    }
    make_folder(root, "dev/pts")?;
    let attributes = Attributes::MOUNT_ATTR_NOSUID | Attributes::MOUNT_ATTR_NOEXEC;
    Tree::new("devpts", &[("ptmxmode", "0666"), ("mode", "0620")], attributes)?.attach(root, Path::new("dev/pts"))?;
    let own = "/proc/self/fd";
    let links = [("pts/ptmx", "ptmx"), (own, "fd"), ("fd/0", "stdin"), ("fd/1", "stdout"), ("fd/2", "stderr")];
    links.iter().try_for_each(|(to, name)| link(root, to, &format!("dev/{name}")))
}

fn write_etc(root: &OwnedFd, files: &[(&str, Vec<u8>)]) -> Result<()> {
    for folder in ["etc/cni", "etc/cni/net.d", "etc/skupper-router"] {
        make_folder(root, folder)?;
    }
    link(root, "/proc/self/mounts", "etc/mtab")?;
    let own: [(&str, &[u8]); 3] =
        [("hostname", b"base\n"), ("hosts", b"127.0.0.1 localhost\n::1 localhost\n"), ("resolv.conf", b"")];
    let copied = files.iter().map(|(name, content)| (*name, &content[..]));
    for (name, content) in own.into_iter().chain(copied) {
        let path = format!("etc/{name}");
        let writing = || format!("writing /{path}");
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = openat(root, &path, flags, Mode::from(0o644)).map_err(step(writing))?;
        File::from(file).write_all(content).map_err(step(writing))?;
    }
    Ok(())
}

/// The links of /bin and the like as the host has them, and the names that knetsim answers to.
fn links(root: &OwnedFd, places: &[Place]) -> Result<()> {
    for name in PROGRAMS {
        if let Ok(to) = std::fs::read_link(format!("/{name}")) {
            link(root, &to.to_string_lossy(), name)?;
        }
    }
    for folder in ["opt", "opt/knetsim", "opt/cni", "opt/knetsim/bin", "opt/cni/bin"] {
        make_folder(root, folder)?;
    }
    let to = format!("{USER_PROGRAMS}/knetsim");
    let own = OWN_PLUGINS.iter().map(|name| format!("{PLUGINS}/{name}"));
    own.chain([format!("{USER_PROGRAMS}/cnitool")])
        .filter(|path| !places.iter().any(|place| place.target == Path::new(path)))
        .try_for_each(|path| link(root, &to, &path[1..]))
}

fn make_folder(root: &OwnedFd, path: &str) -> Result<()> {
    match mkdirat(root, path, Mode::from(0o755)) {
        Err(rustix::io::Errno::EXIST) => Ok(()),
        done => done.map_err(step(|| format!("making the folder /{path}"))),
    }
}

fn link(root: &OwnedFd, to: &str, path: &str) -> Result<()> {
    symlinkat(to, root, path).map_err(step(|| format!("linking /{path} to {to}")))
}

/// Makes a folder or an empty file to mount on, with the folders above it, as far as they are missing.
fn make_place(root: &OwnedFd, path: &Path, is_folder: bool) -> Result<()> {
    let making = || format!("making {} to mount on", path.display());
    let mut above = PathBuf::from("/");
    let parts: Vec<_> = path.components().skip(1).collect();
    for (index, part) in parts.iter().enumerate() {
        let folder = open_inside(root, &above).map_err(step(making))?;
        let name: &Path = part.as_ref();
        let made = if is_folder || index + 1 < parts.len() {
            mkdirat(&folder, name, Mode::from(0o755))
        } else {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            openat(&folder, name, flags, Mode::from(0o644)).map(drop)
        };
        above.push(part);
        // Where it exists, whatever it is, mounting says whether it will do.
        if made != Err(rustix::io::Errno::EXIST) {
            made.map_err(step(making))?;
        }
    }
    Ok(())
}

/// Opens a path as it will be seen when `root` is the root.
fn open_inside(root: impl AsFd, path: &Path) -> rustix::io::Result<OwnedFd> {
    openat2(root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::IN_ROOT)
}
