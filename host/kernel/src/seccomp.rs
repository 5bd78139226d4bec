//! Filters of system calls: what a process on the node side may not even ask the kernel for.
//!
//! Namespaces already keep such a process away from everything that it doesn't own. This is the second
//! wall: it leaves out the parts of the kernel that nobody needs inside, that are not divided by namespaces,
//! or that are too new to be judged.
//!
//! Invariant: a filter only ever says no. As a command: `docker run --security-opt seccomp=FILE`.

use std::collections::BTreeMap;

use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, sock_filter,
};

use crate::error::KernelError;

type Result<T, E = KernelError> = std::result::Result<T, E>;

/// The newest call that was judged, `file_setattr` of Linux 6.17; numbers are the same on every architecture.
/// What is newer answers ENOSYS, as on an older kernel; so do x86's x32 calls, whose numbers are higher.
const NEWEST: u32 = 469;
const OPEN_TREE_ATTR: i64 = 467;

/// Not for anybody: it acts on the whole machine, or opens a part of the kernel that nothing inside needs.
const NEVER: &[i64] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_adjtimex,
    libc::SYS_bpf,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_fanotify_init,
    libc::SYS_finit_module,
    libc::SYS_init_module,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_open_by_handle_at,
    libc::SYS_perf_event_open,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
];

/// Not there: `clone3` keeps its flags in memory where no filter can see them, so that the C library must use `clone`; the
/// others make memory that no limit counts.
const ABSENT: &[i64] = &[libc::SYS_clone3, libc::SYS_memfd_create, libc::SYS_memfd_secret, libc::SYS_shmget];

/// Only for those who make namespaces and mounts by hand.
const BY_HAND: &[i64] = &[
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_kcmp,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    OPEN_TREE_ATTR,
    libc::SYS_pidfd_getfd,
    libc::SYS_pivot_root,
    libc::SYS_process_madvise,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_umount2,
];

/// Namespaces that `clone` and `unshare` make.
const SPACES: &[i32] = &[
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];

/// Those that nobody needs by hand: the one makes capabilities, the other shows the host's cgroups.
const NOT_BY_HAND: &[i32] = &[libc::CLONE_NEWUSER, libc::CLONE_NEWCGROUP];

/// Families of sockets that namespaces divide. Others, such as AF_VSOCK to the host of a virtual machine, are not there.
const FAMILIES: &[i32] = &[libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK, libc::AF_PACKET];

/// A compiled filter.
#[derive(Clone, Debug)]
pub struct Filter(Vec<BpfProgram>);

/// How a program becomes another user.
const CHANGE_IDS: &[i64] = &[
    libc::SYS_setgroups,
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
];

impl Filter {
    /// Compiles a filter. `by_hand` allows mounts, namespaces (but of users and cgroups) and tracing of other processes;
    /// `one_id` lets changes of user and group seem to succeed: programs that drop their privileges, such as tcpdump
    /// and nginx, insist on them, and there is no other id to change to where a single one is mapped.
    pub fn new(by_hand: bool, one_id: bool) -> Result<Filter> {
        let mut refused: BTreeMap<i64, Vec<SeccompRule>> = NEVER.iter().map(|call| (*call, Vec::new())).collect();
        let spaces = if by_hand { NOT_BY_HAND } else { SPACES };
        if !by_hand {
            refused.extend(BY_HAND.iter().map(|call| (*call, Vec::new())));
        }
        for call in [libc::SYS_clone, libc::SYS_unshare] {
            let bit = |space: &i32| rule(&[(0, SeccompCmpOp::MaskedEq(*space as u64), *space as u64)]);
            refused.insert(call, spaces.iter().map(bit).collect::<Result<_>>()?);
        }
        // The limits of another process, such as the node side's init.
        refused.insert(libc::SYS_prlimit64, vec![rule(&[(0, SeccompCmpOp::Ne, 0)])?]);
        let typed = |request: u64| rule(&[(1, SeccompCmpOp::Eq, request)]);
        refused.insert(libc::SYS_ioctl, vec![typed(libc::TIOCSTI)?, typed(libc::TIOCLINUX)?]);

        let strange: Vec<_> = FAMILIES.iter().map(|family| (0, SeccompCmpOp::Ne, *family as u64)).collect();
        let families = BTreeMap::from([(libc::SYS_socket, vec![rule(&strange)?])]);

        let absent = ABSENT.iter().map(|call| (*call, Vec::new())).collect();
        let mut programs = vec![
            newer_calls(),
            answering(libc::ENOSYS, absent)?,
            answering(libc::EAFNOSUPPORT, families)?,
            answering(libc::EPERM, refused)?,
        ];
        if one_id {
            programs.push(answering(0, CHANGE_IDS.iter().map(|call| (*call, Vec::new())).collect())?);
        }
        Ok(Filter(programs))
    }

    /// Puts the filter, and no_new_privs, on this thread and all that it will start, for good.
    pub fn apply(&self) -> Result<()> {
        self.0
            .iter()
            .try_for_each(|program| seccompiler::apply_filter(program))
            .map_err(|error| KernelError::answer("install a seccomp filter", error))
    }
}

/// A program that answers `errno` to these calls.
fn answering(errno: i32, calls: BTreeMap<i64, Vec<SeccompRule>>) -> Result<BpfProgram> {
    TargetArch::try_from(std::env::consts::ARCH)
        .and_then(|arch| SeccompFilter::new(calls, SeccompAction::Allow, SeccompAction::Errno(errno as u32), arch))
        .and_then(BpfProgram::try_from)
        .map_err(|error| KernelError::answer("compile a seccomp filter", error))
}

/// A rule that holds where all of these (argument, comparison, value) do, each of 32 bits.
fn rule(conditions: &[(u8, SeccompCmpOp, u64)]) -> Result<SeccompRule> {
    conditions
        .iter()
        .map(|(argument, compare, value)| {
            SeccompCondition::new(*argument, SeccompCmpArgLen::Dword, compare.clone(), *value)
        })
        .collect::<Result<_, _>>()
        .and_then(SeccompRule::new)
        .map_err(|error| KernelError::answer("compile a seccomp rule", error))
}

/// ENOSYS to every call newer than [`NEWEST`].
fn newer_calls() -> BpfProgram {
    let instruction = |code: u32, jt: u8, jf: u8, k: u32| sock_filter { code: code as u16, jt, jf, k };
    vec![
        // The number is the first field of seccomp_data.
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        instruction(libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K, 0, 1, NEWEST),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Error;
    use std::ptr::null;

    /// Runs `calls` on a thread of its own under the filter.
    fn under<T: Send>(filter: Filter, calls: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            scope
                .spawn(move || {
                    filter.apply().unwrap();
                    calls()
                })
                .join()
                .unwrap()
        })
    }

    #[expect(unsafe_code)]
    fn errno(call: i64, arguments: [i64; 3]) -> i32 {
        let [a, b, c] = arguments;
        // SAFETY: only calls whose pointers are null are made here.
        let answer = unsafe { libc::syscall(call, a, b, c, null::<u8>(), null::<u8>()) };
        if answer < 0 { Error::last_os_error().raw_os_error().unwrap() } else { 0 }
    }

    #[test]
    fn plain_makes_no_namespaces_and_no_mounts() {
        under(Filter::new(false, false).unwrap(), || {
            for space in SPACES {
                assert_eq!(errno(libc::SYS_unshare, [i64::from(*space), 0, 0]), libc::EPERM);
                assert_eq!(errno(libc::SYS_clone, [i64::from(*space), 0, 0]), libc::EPERM);
            }
            for call in BY_HAND.iter().chain(NEVER) {
                assert_eq!(errno(*call, [0, 0, 0]), libc::EPERM, "{call}");
            }
            assert_eq!(errno(libc::SYS_unshare, [i64::from(libc::CLONE_FS), 0, 0]), 0);
            std::thread::spawn(|| ()).join().unwrap();
        });
    }

    #[test]
    fn by_hand_they_are_made_but_of_users() {
        // Of an ordinary user the kernel itself refuses some of these, and would hide that the filter does not.
        knetsim_testing::in_namespaces(|| {
            under(Filter::new(true, false).unwrap(), || {
                for space in NOT_BY_HAND {
                    assert_eq!(errno(libc::SYS_unshare, [i64::from(*space), 0, 0]), libc::EPERM);
                }
                assert_eq!(errno(libc::SYS_setns, [-1, 0, 0]), libc::EBADF);
                assert_eq!(errno(libc::SYS_move_mount, [-1, 0, -1]), libc::EFAULT);
                for call in NEVER {
                    assert_eq!(errno(*call, [0, 0, 0]), libc::EPERM, "{call}");
                }
            });
        });
    }

    #[test]
    fn what_is_unknown_is_not_there() {
        under(Filter::new(true, false).unwrap(), || {
            for call in [i64::from(NEWEST) + 1, 9999, 0x4000_0000 + libc::SYS_getpid].iter().chain(ABSENT) {
                assert_eq!(errno(*call, [0, 0, 0]), libc::ENOSYS, "{call}");
            }
            for family in [libc::AF_VSOCK, libc::AF_ALG, libc::AF_BLUETOOTH] {
                assert_eq!(
                    errno(libc::SYS_socket, [i64::from(family), i64::from(libc::SOCK_STREAM), 0]),
                    libc::EAFNOSUPPORT
                );
            }
            assert_eq!(errno(libc::SYS_socket, [i64::from(libc::AF_INET), i64::from(libc::SOCK_STREAM), 0]), 0);
            assert_eq!(errno(libc::SYS_prlimit64, [1, 0, 0]), libc::EPERM);
            assert_eq!(errno(libc::SYS_prlimit64, [0, 0, 0]), 0);
        });
    }

    #[test]
    fn with_one_id_groups_seem_to_be_dropped() {
        // One group, at address null: the kernel would answer EFAULT or EPERM.
        let call = || errno(libc::SYS_setgroups, [1, 0, 0]);
        assert_eq!(under(Filter::new(false, true).unwrap(), call), 0);
        assert_ne!(under(Filter::new(false, false).unwrap(), call), 0);
    }
}
