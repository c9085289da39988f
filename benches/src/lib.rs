//! Criterion suites for the hook layers.
