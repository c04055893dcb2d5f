//! Fold rules, one test each; golden entries; damage.
