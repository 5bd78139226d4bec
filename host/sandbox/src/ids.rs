//! Which users and groups of the host stand behind those inside.
//!
//! Invariant: the real root is never root inside. Even without any capability, it could write to sysctls
//! and to /sys of the host.

use knetsim_kernel::namespaces::{IdRange, read_id_map, write_id_maps, write_sub_id_maps};
use nix::unistd::{Pid, User, getegid, geteuid};
use rustix::thread::{CapabilitySet, capabilities};

use crate::error::{Result, SandboxError};

/// How many ids there are inside where more than one can be mapped.
const COUNT: u32 = 65_536;
/// The first range that systemd (`systemd.io/UIDS-GIDS`) gives to nobody.
const HIGH: u32 = 0x7000_0000;

/// Id maps, and how they are written.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct IdPlan {
    users: Vec<IdRange>,
    groups: Vec<IdRange>,
    by: By,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// CAP_SETUID and CAP_SETGID.
    Capability,
    /// newuidmap and newgidmap.
    Program,
    /// The right of everybody to map himself.
    Oneself,
}

impl IdPlan {
    /// What can be tried, best first.
    pub(crate) fn all(single: bool) -> Result<Vec<IdPlan>> {
        let (user_map, group_map) = (read_id_map("uid_map")?, read_id_map("gid_map")?);
        let (sub_users, sub_groups) = (sub_ids("/etc/subuid"), sub_ids("/etc/subgid"));
        let mut plans = Vec::new();
        if may_map() {
            let count = if single { 1 } else { COUNT };
            plans.extend(unallocated(&user_map, &group_map, &[sub_users, sub_groups].concat(), count));
        } else if !single {
            plans.extend(delegated(&sub_users, &sub_groups));
        }
        let (user, group) = (geteuid(), getegid());
        let perhaps_real_root = user.is_root() && user_map.iter().any(|range| range.inside == 0 && range.outside == 0);
        if !perhaps_real_root {
            plans.push(IdPlan { users: vec![one(user.as_raw())], groups: vec![one(group.as_raw())], by: By::Oneself });
        }
        if plans.is_empty() {
            return Err(SandboxError::Refused(
                "root may map no other id here (it lacks CAP_SETUID and CAP_SETGID, or its user namespace has none), \
                 and the real root must not be root in a sandbox: run knetsim as an ordinary user"
                    .into(),
            ));
        }
        Ok(plans)
    }

    /// Writes the maps of a process that is in a new user namespace.
    pub(crate) fn write(&self, pid: Pid) -> Result<()> {
        match self.by {
            By::Program => write_sub_id_maps(pid, &self.users, &self.groups)?,
            by => write_id_maps(pid, &self.users, &self.groups, by == By::Oneself)?,
        }
        Ok(())
    }

    /// Whether there is one id only inside.
    pub(crate) fn is_single(&self) -> bool {
        self.users.iter().map(|range| range.count).sum::<u32>() == 1
    }
}

fn one(outside: u32) -> IdRange {
    IdRange { inside: 0, outside, count: 1 }
}

fn may_map() -> bool {
    let needed = CapabilitySet::SETUID | CapabilitySet::SETGID;
    capabilities(None).is_ok_and(|sets| sets.effective.contains(needed))
}

/// A range that nobody uses, for who may map any. In a user namespace of few ids: the biggest that has no root.
fn unallocated(users: &[IdRange], groups: &[IdRange], taken: &[(String, IdRange)], count: u32) -> Option<IdPlan> {
    let holds = |map: &[IdRange], first: u32| {
        map.iter().any(|range| first >= range.inside && first - range.inside <= range.count.saturating_sub(count))
    };
    let free = |first: u32| !taken.iter().any(|(_, range)| overlap(range, first, count));
    let plan = |users, groups| IdPlan { users: vec![users], groups: vec![groups], by: By::Capability };
    let mut high = (HIGH..0x7fff_0000).step_by(COUNT as usize);
    match high.find(|first| free(*first) && holds(users, *first) && holds(groups, *first)) {
        Some(outside) => {
            let range = IdRange { inside: 0, outside, count };
            Some(plan(range, range))
        }
        None => Some(plan(without_root(users, count)?, without_root(groups, count)?)),
    }
}

fn overlap(range: &IdRange, first: u32, count: u32) -> bool {
    let (start, end) = (u64::from(range.outside), u64::from(range.outside) + u64::from(range.count));
    start < u64::from(first) + u64::from(count) && u64::from(first) < end
}

fn without_root(map: &[IdRange], count: u32) -> Option<IdRange> {
    let usable = map.iter().map(|range| {
        let skip = u32::from(range.inside == 0);
        IdRange { inside: 0, outside: range.inside + skip, count: (range.count - skip).min(count) }
    });
    usable.filter(|range| range.count > 0).max_by_key(|range| range.count)
}

/// The user himself as root, and the ranges given to him in /etc/subuid and /etc/subgid above.
fn delegated(users: &[(String, IdRange)], groups: &[(String, IdRange)]) -> Option<IdPlan> {
    let number = geteuid();
    let name = User::from_uid(number).ok().flatten().map(|user| user.name);
    let mine = |ids: &[(String, IdRange)]| {
        let is_mine = |owner: &str| Some(owner) == name.as_deref() || owner == number.to_string();
        ids.iter().find(|(owner, _)| is_mine(owner)).map(|(_, range)| IdRange {
            inside: 1,
            count: range.count.min(COUNT - 1),
            ..*range
        })
    };
    let (user, group) = (mine(users)?, mine(groups)?);
    let (root, wheel) = (one(number.as_raw()), one(getegid().as_raw()));
    Some(IdPlan { users: vec![root, user], groups: vec![wheel, group], by: By::Program })
}

/// Lines `owner:first:count`, subuid(5); what is not one is left out.
fn sub_ids(path: &str) -> Vec<(String, IdRange)> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let entry = |line: &str| {
        let mut fields = line.trim().split(':');
        let owner = fields.next()?.to_owned();
        let outside = fields.next()?.parse().ok()?;
        let count = fields.next()?.parse().ok().filter(|count| *count > 0)?;
        Some((owner, IdRange { inside: 0, outside, count }))
    };
    text.lines().filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: IdRange = IdRange { inside: 0, outside: 0, count: u32::MAX };

    #[test]
    fn the_high_range_is_one_that_nobody_has() {
        let plan = unallocated(&[ALL], &[ALL], &[], COUNT).unwrap();
        assert_eq!(plan.users, [IdRange { inside: 0, outside: HIGH, count: COUNT }]);
        assert!(!plan.is_single());
        let taken = IdRange { inside: 0, outside: HIGH + COUNT - 1, count: 2 };
        let plan = unallocated(&[ALL], &[ALL], &[("ann".into(), taken)], COUNT).unwrap();
        assert_eq!(plan.groups, [IdRange { inside: 0, outside: HIGH + 2 * COUNT, count: COUNT }]);
    }

    #[test]
    fn one_id_of_the_real_root_is_not_root() {
        let plan = unallocated(&[ALL], &[ALL], &[], 1).unwrap();
        assert_eq!(plan.users, [IdRange { inside: 0, outside: HIGH, count: 1 }]);
        assert!(plan.is_single());
    }

    #[test]
    fn in_a_namespace_of_few_ids_root_is_left_out() {
        let few = IdRange { inside: 0, outside: 100_000, count: 1000 };
        let plan = unallocated(&[few], &[few], &[], COUNT).unwrap();
        assert_eq!(plan.users, [IdRange { inside: 0, outside: 1, count: 999 }]);
        assert_eq!(unallocated(&[one(1000)], &[one(1000)], &[], COUNT), None);
    }
}
