//! Decisions of the protocol.
