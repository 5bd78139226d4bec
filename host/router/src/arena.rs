//! Things with numbers that are never used twice, so that a number held on to after its thing is gone finds nothing.

use slab::Slab;

/// A thing's number: its place below, and above how many things there had been.
pub(crate) type Id = usize;

const PLACE: usize = 32;
/// Room for the kind of thing that an event is about, above the serial number.
const SERIALS: usize = (1 << 26) - 1;

/// Things by their numbers.
pub(crate) struct Arena<T> {
    things: Slab<(usize, T)>,
    serial: usize,
}

impl<T> Arena<T> {
    pub(crate) fn new() -> Self {
        Arena { things: Slab::new(), serial: 0 }
    }

    /// The number that the next thing gets.
    pub(crate) fn next_id(&self) -> Id {
        (self.serial & SERIALS) << PLACE | self.things.vacant_key()
    }

    pub(crate) fn insert(&mut self, thing: T) -> Id {
        let id = self.next_id();
        self.things.insert((id, thing));
        self.serial += 1;
        id
    }

    pub(crate) fn get(&self, id: Id) -> Option<&T> {
        let (owner, thing) = self.things.get(place(id))?;
        (*owner == id).then_some(thing)
    }

    pub(crate) fn get_mut(&mut self, id: Id) -> Option<&mut T> {
        let (owner, thing) = self.things.get_mut(place(id))?;
        (*owner == id).then_some(thing)
    }

    pub(crate) fn remove(&mut self, id: Id) -> Option<T> {
        self.get(id)?;
        self.things.try_remove(place(id)).map(|(_, thing)| thing)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Id, &T)> {
        self.things.iter().map(|(_, (id, thing))| (*id, thing))
    }

    pub(crate) fn ids(&self) -> Vec<Id> {
        self.iter().map(|(id, _)| id).collect()
    }
}

fn place(id: Id) -> usize {
    id & ((1 << PLACE) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_not_used_again() {
        let mut arena = Arena::new();
        let first = arena.insert("first");
        assert_eq!(arena.remove(first), Some("first"));
        let second = arena.insert("second");
        assert_ne!(first, second);
        assert_eq!((arena.get(first), arena.get(second)), (None, Some(&"second")));
        assert_eq!(arena.remove(first), None);
    }
}
