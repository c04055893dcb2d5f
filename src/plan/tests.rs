//! Timelines as tests.
