//! What runs in a sandbox's supervisor: the emulator, and the service behind the control socket.

use knetsim_sandbox::Seat;

/// The supervisor's main, until there is an emulator to put into it.
pub(crate) fn supervise(_seat: Seat) -> i32 {
    1
}
