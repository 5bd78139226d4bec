//! What a chapter remembers from one call to the next: names and values in one row of bytes, each ended by a zero.

use std::fmt::Display;
use std::str::FromStr;

use crate::bindings::knetsim::lab::state;
use crate::{Error, Lab, Result};

impl Lab {
    /// Remembers a value under a name, for later calls into this chapter: `setup` and `solve` can, checks only
    /// [recall](Lab::recall). All names and values together have 64 KiB.
    ///
    /// ```no_run
    /// # fn main() -> knetsim_sdk::Result<()> {
    /// let lab = knetsim_sdk::Lab::new();
    /// lab.remember("vni", 100)?;
    /// assert_eq!(lab.recall::<u32>("vni")?, Some(100));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Not while a check runs; not in a script; there is no room; a name or value has a zero byte in it.
    pub fn remember(&self, name: &str, value: impl Display) -> Result<()> {
        let value = value.to_string();
        if name.contains('\0') || value.contains('\0') {
            return Err(Error::new(format!("remember {name:?}: neither names nor values can have a zero byte")));
        }
        let mut all = all()?;
        all.retain(|(there, _)| there != name);
        all.push((name.to_owned(), value));
        let bytes: Vec<u8> = all.iter().flat_map(|(name, value)| format!("{name}\0{value}\0").into_bytes()).collect();
        Ok(state::set(&bytes)?)
    }

    /// What was remembered under a name since the last reset; none where nothing was.
    ///
    /// # Errors
    /// What was remembered is no `T`; not in a script.
    pub fn recall<T: FromStr>(&self, name: &str) -> Result<Option<T>> {
        let Some((_, value)) = all()?.into_iter().find(|(there, _)| there == name) else { return Ok(None) };
        let wrong = |_| Error::new(format!("recall {name:?}: {value:?} is no {}", std::any::type_name::<T>()));
        value.parse().map(Some).map_err(wrong)
    }
}

fn all() -> Result<Vec<(String, String)>> {
    let bytes = state::get()?;
    let text = String::from_utf8_lossy(&bytes);
    let parts: Vec<&str> = text.split_terminator('\0').collect();
    Ok(parts.chunks_exact(2).map(|pair| (pair[0].to_owned(), pair[1].to_owned())).collect())
}
