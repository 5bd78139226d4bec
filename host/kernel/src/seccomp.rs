//! Filters of system calls, one for each profile of processes on the node side.
