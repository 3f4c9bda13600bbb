//! The straddle command line.
