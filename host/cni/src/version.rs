//! Versions of the specification, and what each can do.

use std::str::FromStr;

use crate::error::Error;

/// A version of the specification that is spoken here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// 0.1.0, and where a configuration names none.
    #[default]
    V0_1_0,
    /// 0.2.0: VERSION.
    V0_2_0,
    /// 0.3.0: chains, results with interfaces.
    V0_3_0,
    /// 0.3.1.
    V0_3_1,
    /// 0.4.0: CHECK, prevResult on DEL.
    V0_4_0,
    /// 1.0.0: lists only.
    V1_0_0,
    /// 1.1.0: GC and STATUS.
    V1_1_0,
}

impl Version {
    /// All of them as text, the oldest first.
    pub const LIST: [&str; 7] = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];
    const ALL: [Version; 7] = [
        Version::V0_1_0,
        Version::V0_2_0,
        Version::V0_3_0,
        Version::V0_3_1,
        Version::V0_4_0,
        Version::V1_0_0,
        Version::V1_1_0,
    ];
    /// The newest.
    pub const LATEST: Version = Version::V1_1_0;

    /// As configurations and results write it.
    pub fn as_str(self) -> &'static str {
        Version::LIST[self as usize]
    }
}

impl FromStr for Version {
    type Err = Error;
    /// An empty text is 0.1.0, as the reference library has it.
    fn from_str(text: &str) -> Result<Self, Error> {
        if text.is_empty() {
            return Ok(Version::V0_1_0);
        }
        let known = Version::ALL.into_iter().find(|version| version.as_str() == text);
        known.ok_or_else(|| Error::Version { config: text.chars().take(40).collect() })
    }
}
